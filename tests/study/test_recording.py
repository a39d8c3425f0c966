"""Recorded requests come in the order in which they were sent."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import DataError
from sonic.protocol.messages import InferRequest
from sonic.protocol.recording import encode
from sonic.study.recording import Recording

if TYPE_CHECKING:
    from pathlib import Path

SECOND_NS = 10**9


def request(i: int, model: str = "m") -> InferRequest:
    return InferRequest(model, {"x": np.full(i + 1, i, np.float32)}, id=str(i))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three requests of two processes, of which one wrote late."""
    made = tmp_path / "requests"
    parts = (
        (request(0), 5 * SECOND_NS),
        (request(2, "n"), 8 * SECOND_NS),
        (request(1), 6 * SECOND_NS),
    )
    made.write_bytes(b"".join(encode(*part) for part in parts))
    return made


def test_in_the_order_in_which_they_were_sent(path: Path) -> None:
    recording = pickle.loads(pickle.dumps(Recording(path)))
    assert len(recording) == 3
    assert recording.due_s.tolist() == [0, 1, 3]
    assert recording.models == {"m": 2, "n": 1}
    assert recording.n_bytes < path.stat().st_size
    for i in range(3):
        assert recording[i].id == str(i)
        np.testing.assert_array_equal(recording[i].inputs["x"], request(i).inputs["x"])


def test_the_rest_of_a_killed_job_is_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert [recorded.id for recorded in map(Recording(path).__getitem__, range(2))] == ["0", "2"]
    assert "left out" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 something else", b"\x02\xff\xff"])
def test_what_is_no_recording(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"/other( is no recording of requests)?: "):
        Recording(path)
