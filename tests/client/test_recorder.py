"""Requests are kept, whatever becomes of them; and no request is the worse for it."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.model import Client
from sonic.client.recorder import Recorder
from sonic.client.settings import ClientSettings
from sonic.errors import ConfigError, Unavailable
from sonic.protocol.messages import InferRequest
from sonic.protocol.recording import decode, spans
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from pathlib import Path

SPEC = ModelSpec(
    "m", "1", (TensorSpec("x", DType.FP32, (-1, 3)),), (TensorSpec("y", DType.FP32, (-1, 3)),), max_batch_size=8
)
X = np.arange(6.0, dtype=np.float32).reshape(2, 3)


def fake(*script: Unavailable) -> FakeTransport:
    transport = FakeTransport([SPEC], lambda request: {"y": request.inputs["x"]})
    transport.then(*script)
    return transport


def read(path: Path) -> list[tuple[InferRequest, int]]:
    data = path.read_bytes()
    found, rest = spans(data)
    assert rest == 0
    return [decode(data[begin:end]) for begin, end in found]


def test_a_client_keeps_what_it_sends_and_once_what_it_sends_twice(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    settings = ClientSettings(record=str(path), backoff_s=0)
    with Client(transports=[fake(Unavailable("not now"))], settings=settings) as client:
        client.model("m", request_rows=1)(x=X)
    kept = read(path)
    assert [request.model for request, _ in kept] == ["m", "m"]
    np.testing.assert_array_equal(np.concatenate([request.inputs["x"] for request, _ in kept]), X)
    assert 0 < kept[0][1] <= kept[1][1]


def test_several_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    recorders = [Recorder(path, 1 << 20) for _ in range(2)]  # as two processes have it
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: recorders[i % 2].record(InferRequest("m", {"x": X}, id=str(i))), range(40)))
    assert sorted(int(request.id) for request, _ in read(path)) == list(range(40))
    for recorder in recorders:
        recorder.close()
    recorders[0].record(InferRequest("m", {"x": X}))
    assert len(read(path)) == 40


def test_it_ends_where_the_file_is_large_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "requests"
    recorder = Recorder(path, 150)
    with caplog.at_level(logging.WARNING, "sonic.client"):
        for _ in range(4):
            recorder.record(InferRequest("m", {"x": X}))
    kept = read(path)
    assert 0 < len(kept) < 4
    assert path.stat().st_size <= 150 < (len(kept) + 1) * path.stat().st_size / len(kept)
    assert sum("as many as it may" in line for line in caplog.messages) == 1


def test_a_full_disk_ends_the_recording_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device
        pytest.skip("no /dev/full here")
    with (
        caplog.at_level(logging.WARNING, "sonic.client"),
        Client(transports=[fake()], settings=ClientSettings(record="/dev/full")) as client,
    ):
        assert client.model("m")(x=X)
        assert client.model("m")(x=X)
    assert sum("recording of requests" in line for line in caplog.messages) == 1


def test_a_disk_that_takes_only_a_part_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "requests"
    recorder = Recorder(path, 1000)
    recorder.record(InferRequest("m", {"x": X}))
    whole = path.stat().st_size
    write = os.write
    with monkeypatch.context() as full:
        full.setattr("sonic.client.recorder.os.write", lambda file, data: write(file, data[:5]))
        recorder.record(InferRequest("m", {"x": X}))
    recorder.record(InferRequest("m", {"x": X}))
    assert path.stat().st_size == whole + 5
    assert "the disk is full" in caplog.text


def test_what_cannot_be_written_is_not_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "requests", 1000)
    with caplog.at_level(logging.WARNING, "sonic.client"):
        recorder.record(InferRequest("m", {"x": np.array([1 + 1j])}))
    assert "not recorded" in caplog.text
    assert read(tmp_path / "requests") == []


def test_a_file_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot record requests"):
        Client(transports=[fake()], settings=ClientSettings(record=str(tmp_path)))


def test_a_request_that_fails_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    settings = ClientSettings(record=str(path), chain=())
    with Client(transports=[fake(Unavailable("not now"))], settings=settings) as client:
        model = client.model("m")
        with pytest.raises(Unavailable):
            model(x=X)
    assert len(read(path)) == 1
