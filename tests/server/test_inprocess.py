from __future__ import annotations

import threading
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest

from sonic.errors import ConfigError, InvalidRequest, ModelFailed, ModelNotFound, Unavailable
from sonic.protocol.messages import InferRequest, ModelStatus
from sonic.server.inprocess import InProcessTransport


def request(model: str = "a", rows: int = 2) -> InferRequest:
    return InferRequest(model, {"x": np.ones((rows, 4 if model == "a" else 2), np.float32)})


def test_found_by_its_scheme(folder: Any) -> None:
    folder.onnx("a")
    (point,) = entry_points(group="sonic.transports", name="local")
    assert point.load() is InProcessTransport


def test_runs_in_the_calling_thread(folder: Any) -> None:
    folder.onnx("a")
    transport = InProcessTransport(str(folder.path))
    assert transport.url == f"local:{folder.path}"
    before = threading.active_count()
    future = transport.submit(request())
    assert future.done()
    assert future.result().outputs["y"].shape == (2, 2)
    assert threading.active_count() == before
    assert transport.model_spec("a").max_batch_size == 1024
    assert transport.statistics("a").inference_count == 2
    transport.close()


def test_a_model_is_loaded_when_it_is_asked_for(folder: Any) -> None:
    folder.onnx("a")
    folder.onnx("b", b"broken")
    transport = InProcessTransport(str(folder.path))
    assert transport.ready()
    assert transport.models() == (ModelStatus("a", "", "READY"), ModelStatus("b", "", "READY"))
    transport.submit(request()).result(0)
    for _ in range(2):
        with pytest.raises(ModelFailed, match="model 'b' version 1 cannot be loaded"):
            transport.submit(request("b")).result(0)
        with pytest.raises(ModelFailed, match="model 'b' version 1 cannot be loaded"):
            transport.model_spec("b")
    states = {row.name: row.state for row in transport.models()}
    assert states == {"a": "READY", "b": "UNAVAILABLE"}
    transport.close()


def test_a_model_is_loaded_and_unloaded_as_one_is_told(folder: Any) -> None:
    folder.onnx("a")
    folder.onnx("b", b"broken")
    transport = InProcessTransport(str(folder.path))
    transport.load("a")
    transport.unload("a")
    assert transport.statistics("a").inference_count == 0  # loaded again
    with pytest.raises(ModelFailed, match="model 'b' version 1 cannot be loaded"):
        transport.load("b")
    transport.unload("b")
    folder.onnx("b")  # mended
    transport.load("b")
    with pytest.raises(ModelNotFound):
        transport.load("absent")
    transport.close()
    transport.unload("a")
    with pytest.raises(Unavailable):
        transport.load("a")


def test_errors(folder: Any) -> None:
    folder.onnx("a")
    transport = InProcessTransport(str(folder.path))
    assert isinstance(transport.submit(request("z")).exception(0), ModelNotFound)
    assert isinstance(transport.submit(request("a", rows=0)).exception(0), InvalidRequest)
    for ask in (transport.model_spec, transport.statistics):
        with pytest.raises(ModelNotFound, match="no model 'z' in"):
            ask("z")
    transport.close()


def test_closed(folder: Any) -> None:
    folder.onnx("a")
    transport = InProcessTransport(str(folder.path))
    transport.submit(request()).result(0)
    transport.close()
    transport.close()
    assert not transport.ready()
    assert isinstance(transport.submit(request()).exception(0), Unavailable)
    assert isinstance(transport.submit(request("z")).exception(0), Unavailable)


def test_cores(folder: Any) -> None:
    folder.onnx("a")
    by_url = InProcessTransport(f"{folder.path}?cores=3")
    by_argument = InProcessTransport(str(folder.path), cores=3)
    for transport in (by_url, by_argument):
        transport.model_spec("a")
        assert sum(group.count for group in transport.model_config("a").instance_group) == 3
        assert transport.url == f"local:{folder.path}"
        transport.close()
    for bad in ("cores=x", "threads=2", "cores", "cores=0"):
        with pytest.raises(ConfigError, match="cores"):
            InProcessTransport(f"{folder.path}?{bad}")
    with pytest.raises(ConfigError, match="no model repository"):
        InProcessTransport(str(folder.path / "nope"))


def test_many_threads_share_it(folder: Any, script: Any, until: Any) -> None:
    folder.scripted(count=1)
    transport = InProcessTransport(str(folder.path))
    transport.model_spec("scripted")
    script.hold()
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(transport.submit(request("scripted")).result(10).outputs["y"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    script.wait_started()
    (model,) = transport._dataplane.models()
    until(lambda: model.pending == 3)
    script.release()
    for thread in threads:
        thread.join(10)
    assert [result.tolist() for result in results] == [[[2, 2], [2, 2]]] * 4
    assert script.batches == [2, 6]
    transport.close()


def test_any_number_may_wait(folder: Any, script: Any) -> None:
    folder.scripted()
    transport = InProcessTransport(str(folder.path), cores=1)
    script.hold()
    barrier = threading.Thread(target=lambda: transport.submit(request("scripted", 1)))
    barrier.start()
    script.wait_started()
    futures = [transport.submit(request("scripted", 1)) for _ in range(1100)]
    assert not any(future.done() for future in futures)
    script.release()
    barrier.join(10)
    assert all(future.result(30) for future in futures)
    transport.close()
