from __future__ import annotations

import gc
import json
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import InvalidRequest, ModelNotFound, Unavailable, Unsupported
from sonic.protocol.messages import InferRequest
from sonic.server.dataplane import Dataplane
from sonic.server.models.repository import Repository
from sonic.server.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def opened() -> Iterator[Callable[..., Dataplane]]:
    made: list[Dataplane] = []

    def make(folder: Any, *, explicit: bool = False, load: bool = True, strict: bool = True) -> Dataplane:
        repository = Repository([folder.path])
        if load:
            repository.load_all(strict=strict)
        made.append(Dataplane(repository, explicit=explicit))
        return made[-1]

    yield make
    for dataplane in made:
        dataplane.close()


def request(model: str = "a", rows: int = 2, **more: Any) -> InferRequest:
    return InferRequest(model, {"x": np.ones((rows, 4 if model == "a" else 2), np.float32)}, **more)


def test_infer(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    future = opened(folder).infer(request())
    assert future.done()
    assert future.result().outputs["y"].shape == (2, 2)


def test_errors_come_in_the_future(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    dataplane = opened(folder)
    for bad, error in (
        (request("nope"), ModelNotFound),
        (request(version="9"), ModelNotFound),
        (request(outputs=("q",)), InvalidRequest),
    ):
        assert isinstance(dataplane.infer(bad).exception(0), error)


def test_what_it_says_of_itself_and_its_models(folder: Any, opened: Any) -> None:
    for version in ("1", "2"):
        folder.onnx("a", config="version_policy { all {} }", version=version)
    folder.onnx("b")
    dataplane = opened(folder)
    assert (dataplane.live(), dataplane.ready(), dataplane.accepting) == (True, True, True)
    assert dataplane.server_info().name == "sonic"
    assert "statistics" in dataplane.server_info().extensions
    assert (dataplane.model_ready("a"), dataplane.model_ready("a", "9"), dataplane.model_ready("z")) == (
        True,
        False,
        False,
    )
    assert dataplane.model_spec("a").version == "2"
    assert (dataplane.model_versions("a"), dataplane.model_versions("a", "1")) == (("1", "2"), ("1",))
    assert dataplane.model_config("a", "1").max_batch_size == 1024
    assert len(dataplane.index(ready=True)) == 3
    dataplane.infer(request(version="1")).result(0)
    counts = {(row.name, row.version): row.inference_count for row in dataplane.statistics()}
    assert counts == {("a", "1"): 2, ("a", "2"): 0, ("b", "1"): 0}
    assert [row.version for row in dataplane.statistics("a")] == ["1", "2"]
    assert [row.version for row in dataplane.statistics("a", "1")] == ["1"]
    assert dataplane.statistics(version="9") == dataplane.statistics()
    with pytest.raises(InvalidRequest, match=r"requested model version is not available for model 'a': .* there is"):
        dataplane.statistics("a", "9")
    for ask in (dataplane.statistics, dataplane.model_spec, dataplane.model_config):
        with pytest.raises(ModelNotFound, match="Request for unknown model: 'z' is not found"):
            ask("z")
    with pytest.raises(ModelNotFound, match=r"^requested model 'z' is not available: "):
        dataplane.statistics("z")


def test_not_ready_while_a_model_is_missing(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    folder.onnx("b", b"broken")
    dataplane = opened(folder, strict=False)
    assert (dataplane.live(), dataplane.ready(), dataplane.model_ready("a")) == (True, False, True)
    assert [row.name for row in dataplane.index(ready=True)] == ["a"]


def test_control(folder: Any, opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder.onnx("a")
    fixed = opened(folder)
    for change in (fixed.load, fixed.unload):
        with pytest.raises(
            Unavailable,
            match=r"explicit model load / unload is not allowed if polling is enabled, .*--model-control explicit",
        ):
            change("a")
    explicit = opened(folder, explicit=True, load=False)
    assert explicit.ready()
    explicit.load("a")
    assert explicit.model_ready("a")
    explicit.unload("a")
    assert not explicit.model_ready("a")
    assert isinstance(explicit.infer(request()).exception(0), Unavailable)
    explicit.unload("a")
    explicit.unload("z")
    with pytest.raises(ModelNotFound, match="failed to load 'z', failed to poll from model repository: no model 'z'"):
        explicit.load("z")
    (folder.path / "a" / "config.pbtxt").write_text("?")
    with pytest.raises(InvalidRequest, match=r"load failed for model 'a': .*config\.pbtxt:1"):
        explicit.load("a")
    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert "config.pbtxt:1" in told  # whoever looks after the server hears of it, too


def test_a_configuration_comes_with_the_request_to_load(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    dataplane = opened(folder, explicit=True, load=False)
    dataplane.load("a", {"config": '{"max_batch_size": 3, "dynamic_batching": {"max_queue_delay_microseconds": "7"}}'})
    config = dataplane.model_config("a")
    assert (config.max_batch_size, config.dynamic_batching.max_queue_delay_microseconds) == (3, 7)


@pytest.mark.parametrize(
    ("parameters", "error", "complaint"),
    [
        ({"file:1/model.onnx": b""}, Unsupported, "files come from its folder"),
        (
            {"config": "{"},
            InvalidRequest,
            "^failed to load 'a', failed to poll from model repository: parameter config: ",
        ),
        ({"config": '{"nope": 1}'}, InvalidRequest, 'no field named "nope"'),
        (
            {"config": 1},
            InvalidRequest,
            "^invalid value type for load parameter 'config', expected string_param: .* 1$",
        ),
        ({"config": '{"max_batch_size": -1}'}, InvalidRequest, "max_batch_size is -1"),
        (
            {"config": '{"default_model_filename": "../../b/1/x"}'},
            InvalidRequest,
            "is not in the model's folder",
        ),
        ({"config": '{"version_policy": {"specific": {"versions": [-7]}}}'}, InvalidRequest, "none of the versions"),
        ({"other": "x"}, InvalidRequest, "^unrecognized load parameter 'other': model 'a' takes config"),
    ],
)
def test_other_parameters_of_a_load(
    parameters: dict[str, Any], error: type[Exception], complaint: str, folder: Any, opened: Any
) -> None:
    folder.onnx("a")
    dataplane = opened(folder, explicit=True)
    with pytest.raises(error, match=complaint):
        dataplane.load("a", parameters)
    assert dataplane.model_ready("a"), "it stays as it was"


@pytest.fixture
def traced(folder: Any, tmp_path: Path) -> Iterator[Dataplane]:
    folder.onnx("a")
    repository = Repository([folder.path])
    repository.load_all()
    settings = {"trace_level": "TIMESTAMPS", "trace_rate": "1", "trace_count": "2"}
    dataplane = Dataplane(repository, traces=Tracer(tmp_path / "traces", settings))
    yield dataplane
    dataplane.close()


def test_names_of_no_model_are_not_traced(traced: Dataplane, tmp_path: Path) -> None:
    assert isinstance(traced.infer(request("nope")).exception(0), ModelNotFound)
    traced.infer(request()).result(10)
    assert [trace["model_name"] for trace in json.loads((tmp_path / "traces").read_text())] == ["a"]


def test_what_is_refused_is_traced_too(traced: Dataplane, tmp_path: Path) -> None:
    for bad in (request(outputs=("q",), id="refused"), request(id="good")):
        traced.infer(bad).exception(10)
    refused, good = json.loads((tmp_path / "traces").read_text())
    assert (refused["request_id"], good["request_id"]) == ("refused", "good")
    names = [time["name"] for time in refused["timestamps"]]
    assert names == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert traced.trace_settings("a")["trace_count"] == ("0",)


def test_parameters_of_an_unload(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    dataplane = opened(folder, explicit=True)
    with pytest.raises(InvalidRequest, match="parameter unload_dependents is true or false, given 'yes'"):
        dataplane.unload("a", {"unload_dependents": "yes"})
    assert dataplane.model_ready("a")
    dataplane.unload("a", {"unload_dependents": False, "other": 1})
    assert not dataplane.model_ready("a")


def test_drain(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    dataplane = opened(folder)
    script.hold()
    running = dataplane.infer(request("scripted"), inline=False)
    script.wait_started()
    assert not dataplane.drain(0.0)
    assert (dataplane.ready(), dataplane.accepting, dataplane.model_ready("scripted")) == (False, False, False)
    refused = dataplane.infer(request("scripted")).exception(0)
    assert isinstance(refused, Unavailable)
    assert "has stopped accepting new inference requests" in str(refused)
    script.release()
    assert dataplane.drain(10)
    assert running.result(0).outputs["y"].shape == (2, 2)


def test_notice_of_the_end(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    dataplane = opened(folder)
    dataplane.retire()
    assert (dataplane.ready(), dataplane.accepting, dataplane.model_ready("a")) == (False, True, True)
    assert dataplane.infer(request()).result(10).model == "a"


def test_a_reload_loses_no_request(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    dataplane = opened(folder, explicit=True)
    stop = threading.Event()
    failures: list[BaseException] = []
    count = [0, 0]

    def client(which: int) -> None:
        while not stop.is_set():
            failure = dataplane.infer(request(), inline=bool(which)).exception(10)
            count[which] += 1
            if failure is not None:
                failures.append(failure)

    clients = [threading.Thread(target=client, args=(which,)) for which in (0, 1)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(20):
            folder.change("a")
            dataplane.load("a")
    finally:
        stop.set()
        for thread in clients:
            thread.join(10)
    assert failures == []
    assert min(count) > 0


def test_requests_are_logged_when_asked_for(folder: Any, opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder.onnx("a")
    dataplane = opened(folder)
    caplog.set_level(logging.INFO, "sonic.server")
    dataplane.infer(request(id="quiet"))
    assert "quiet" not in caplog.text
    caplog.set_level(logging.DEBUG, "sonic.server")
    dataplane.infer(request(id="loud"))
    dataplane.infer(InferRequest("z", {"x\nE forged": np.ones(2)}, id="bad\nE forged"))
    assert "request 'loud' to 'a' ('x' [2, 4]): done" in caplog.text
    assert (
        r"request 'bad\nE forged' to 'z' ('x\nE forged' [2]): ModelNotFound: Request for unknown model:" in caplog.text
    )


@pytest.mark.parametrize("fails", [False, True])
def test_arrays_are_free_when_a_request_is_over(fails: bool, folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    dataplane = opened(folder)
    if fails:
        script.run = lambda x: 1 / 0
    gc.collect()
    gc.disable()
    try:
        for inline in (True, False):
            for shape in ((2, 2), (2, 3)):
                x = np.ones(shape, np.float32)
                gone = weakref.ref(x)
                future = dataplane.infer(InferRequest("scripted", {"x": x}), inline=inline)
                error = future.exception(10)
                assert (error is None) == (not fails and shape == (2, 2))
                del x, future, error
                until_free(gone)
    finally:
        gc.enable()


def until_free(gone: weakref.ref[Any]) -> None:
    tick = threading.Event()
    for _ in range(5000):  # a worker's frame may hold it for another moment
        if gone() is None:
            return
        tick.wait(0.001)
    raise AssertionError("the garbage collector is needed")
