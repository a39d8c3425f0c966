"""The soak itself, for a few seconds: what it takes longer to tell, as memory and goodput, is not asked here."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.soak import models
from benchmarks.soak.__main__ import ended
from benchmarks.soak.drain import drain
from benchmarks.soak.hazards import record_grpc, record_http
from benchmarks.soak.mixed import mixed
from benchmarks.soak.overload import _Load, _part, _Round, overload
from benchmarks.soak.server import Serve
from sonic.protocol.messages import InferRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.soak.marks import Mark, Part

MAX_QUEUE = 24
TAKES_LONGER = (
    "resident memory",
    "threads after",
    "file descriptors after",
    "goodput",
    "processor time",
    "refused within",
    "kinds of them",
)


@pytest.fixture
def seen() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def show(seen: list[tuple[Any, ...]]) -> Callable[..., None]:
    return lambda *told: seen.append(told)


def missed(part: Part) -> list[Mark]:
    return [mark for mark in part.marks if not mark.reached and not mark.name.startswith(TAKES_LONGER)]


def test_mixed_load_and_the_end(tmp_path: Path, show: Any, seen: list[tuple[Any, ...]]) -> None:
    models.write(tmp_path / "models")
    jets, scores = models.jets(8)
    jets["scores"] = scores
    np.savez(tmp_path / "jets.npz", allow_pickle=False, **jets)
    loaded = (*models.STAY, *models.COME_AND_GO)
    with Serve([tmp_path / "models", models.shipped()], loaded) as server:
        part = mixed(server, tmp_path / "jets.npz", warm_s=0.5, load_s=4.0, lanes=2, seed=1, show=show)
        assert missed(part) == [], part.notes
        assert part.tally is not None
        assert part.tally.total > 50
        assert part.details["hazards"]["cut"] > 5
        assert {name for name, *_ in seen} == {"warm-up", "mixed load"}
        part = drain(server, seed=1)
        assert missed(part) == [], part.notes


def test_overload(tmp_path: Path, show: Any) -> None:
    models.write_work(tmp_path / "work", work_ms=5.0)
    with Serve([tmp_path / "work"], [models.WORK], "--cores", "1", "--max-queue", str(MAX_QUEUE)) as server:
        part = overload(server, seconds=3.0, max_queue=MAX_QUEUE, seed=1, show=show)
    assert missed(part) == [], part.notes


def test_a_queue_that_cannot_be_seen_is_not_within_its_bound(
    tmp_path: Path, show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = _Load([], np.random.default_rng(1))
    for depths, reached in (([], False), ([0, 0], False), ([3], True), ([4], True), ([5], False)):
        marks = {mark.name: mark for mark in _part(load, [_Round(1, 1, 1, 1)], depths, max_queue=4).marks}
        assert marks["requests waiting in the queue, at most"].reached is reached

    def fail(*_: object) -> int:
        raise RuntimeError("no metrics")

    monkeypatch.setattr(Serve, "pending", fail)
    models.write_work(tmp_path / "work", work_ms=5.0)
    with Serve([tmp_path / "work"], [models.WORK]) as server, pytest.raises(RuntimeError, match="no metrics"):
        overload(server, seconds=1.0, max_queue=MAX_QUEUE, seed=1, show=show)


def test_a_part_whose_server_dies_is_missed_and_has_its_last_words(tmp_path: Path, show: Any) -> None:
    models.write_work(tmp_path / "work", work_ms=5.0)
    jets, scores = models.jets(2)
    np.savez(tmp_path / "jets.npz", allow_pickle=False, **jets, scores=scores)
    with Serve([tmp_path / "work"], [models.WORK]) as server:
        said = server.log()
        server.process.kill()
        server.process.wait()
        run = partial(mixed, server, tmp_path / "jets.npz", warm_s=0.5, load_s=0.5, lanes=1, seed=1, show=show)
        part = ended("mixed load", server, run)
    assert not part.reached
    why, server_said = part.notes
    assert "psutil" in why
    assert "grpc" not in why  # which is only how it is left
    assert "has ended with status -9" in server_said
    assert said
    assert server_said.endswith(said[-500:])
    assert json.loads(json.dumps(part.to_document()))["notes"] == part.notes


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no model repository"):
        Serve([tmp_path / "none"], ["nothing"])


def test_recorded_connections() -> None:
    request = InferRequest("scale", {"x": np.ones((2, 3), np.float32)})
    assert record_http(request).startswith(b"POST /v2/models/scale/infer HTTP/1.1\r\n")
    recorded = record_grpc(request)
    assert recorded.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert np.ones((2, 3), np.float32).tobytes() in recorded
