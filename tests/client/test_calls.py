from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.gathering import WINDOW
from sonic.client.model import Client, Model
from sonic.client.settings import ClientSettings
from sonic.errors import Cancelled, ConfigError, DeadlineExceeded, InvalidRequest, ModelFailed, Unavailable
from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics
from sonic.protocol.tensors import same_bits
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.conformance import WAIT_S, RudePeer, error_of
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from sonic.protocol.messages import InferRequest


def test_submit_returns_before_anything_is_known(
    way: FakeTransport, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = Event(), Event()

    def model_spec(*_: object) -> ModelSpec:
        asked.set()
        assert answer.wait(WAIT_S)
        return spec

    monkeypatch.setattr(way, "model_spec", model_spec)
    with Client(transports=[way]) as client:
        model = client.model("double")
        futures = [model.submit(x=[[n, n]]) for n in range(20)]
        assert asked.wait(WAIT_S)
        assert futures[3].cancel()
        assert not any(future.done() for future in futures[:3])
        answer.set()
        for n in (*range(3), *range(4, 20)):
            assert futures[n].result(WAIT_S)["y"].tolist() == [[2 * n, 2 * n]]
        assert len(way.requests) == 19


def test_the_spec_is_asked_for_once(model: Model, way: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    ask = way.model_spec
    monkeypatch.setattr(way, "model_spec", lambda *a: (count.append(1), ask(*a))[1])
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: model(x=[[1, 1]]), range(20)))
    assert len(count) == 1


def test_a_process_that_is_forked_asks_for_itself(
    way: FakeTransport, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = Event(), Event()

    def first_is_slow(*_: object) -> ModelSpec:
        if not asked.is_set():
            asked.set()
            assert answer.wait(WAIT_S)
        return spec

    monkeypatch.setattr(way, "model_spec", first_is_slow)
    with Client(transports=[way]) as client:
        model = client.model("double")
        before = model.submit(x=[[1, 1]])
        assert asked.wait(WAIT_S)
        _, router = client._made
        client._made = 0, router  # that of a parent, whose threads do not go on here
        assert model.submit(x=[[2, 2]]).result(WAIT_S)["y"].tolist() == [[4, 4]]
        answer.set()
        assert before.result(WAIT_S)
        router.close()


def test_a_spec_that_could_not_be_had_is_asked_for_again(way: FakeTransport) -> None:
    with Client(transports=[way], settings=ClientSettings(chain=())) as client:
        model = client.model("double")
        way.down = Unavailable("starting up")
        assert type(error_of(model.submit(x=[[1, 1]]))) is Unavailable
        with pytest.raises(Unavailable, match="starting up"):
            _ = model.spec
        way.down = None
        assert model(x=[[1, 1]])["y"].tolist() == [[2, 2]]


def test_a_call_is_sent_in_requests_of_the_size_that_is_asked_for(way: FakeTransport) -> None:
    x = np.arange(14, dtype=np.float32).reshape(7, 2)
    with Client(transports=[way]) as client:
        model = client.model("double", request_rows=3)
        assert model.spec.max_batch_size == 3
        assert same_bits(model(x=x)["y"], 2 * x)
        assert [len(request.inputs["x"]) for request in way.requests] == [3, 3, 1]
        way.requests.clear()
        assert same_bits(client.model("double", request_rows=100)(x=x)["y"], 2 * x)
        assert [len(request.inputs["x"]) for request in way.requests] == [4, 3]  # no more than the model takes
        with pytest.raises(ConfigError, match="request_rows is a number of rows, or 0 for no bound; given -1"):
            client.model("double", request_rows=-1)


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 11, 203])
def test_more_rows_than_a_batch_are_split_and_put_together(model: Model, way: FakeTransport, rows: int) -> None:
    x = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
    assert same_bits(model(x=x)["y"], 2 * x)
    sizes = [len(request.inputs["x"]) for request in way.requests]
    assert sum(sizes) == rows
    assert len(sizes) == -(-rows // 4)
    assert max(sizes) <= 4


def test_a_part_that_fails_is_the_end_of_the_call(model: Model, way: FakeTransport) -> None:
    assert model.spec
    way.holding = True
    future = model.submit(x=np.zeros((12, 2)))
    first, second, third = (way.held.get(timeout=WAIT_S) for _ in range(3))
    second.fail(ModelFailed("it broke"))
    assert str(error_of(future)) == "it broke"
    assert first.future.cancelled()
    assert third.future.cancelled()


def test_a_part_that_is_being_sent_when_another_fails_is_given_up(
    model: Model, way: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.spec
    way.holding = True
    submit = way.submit

    def fail_the_one_before(request: InferRequest) -> object:
        sent = submit(request)
        if len(way.requests) == 2:
            way.held.get(timeout=WAIT_S).fail(ModelFailed("it broke"))
        return sent

    monkeypatch.setattr(way, "submit", fail_the_one_before)
    assert str(error_of(model.submit(x=np.zeros((12, 2))))) == "it broke"
    assert way.held.get(timeout=WAIT_S).future.cancelled()
    assert len(way.requests) == 2


def test_parts_that_cannot_be_put_together_are_the_end_of_the_call() -> None:
    spec = ModelSpec(
        "ragged",
        "1",
        (TensorSpec("x", DType.FP32, (-1, 2)),),
        (TensorSpec("y", DType.FP32, (-1, -1)),),
        max_batch_size=4,
    )
    way = FakeTransport([spec], lambda request: {"y": np.zeros((4, int(request.inputs["x"].max())), np.float32)})
    with Client(transports=[way]) as client:
        future = client.model("ragged").submit(x=np.repeat([[3.0, 3], [5, 5]], 4, axis=0))
        error = error_of(future)
        assert type(error) is ModelFailed
        assert "output 'y'" in str(error)


def test_a_split_call_given_up(model: Model, way: FakeTransport) -> None:
    assert model.spec
    way.holding = True
    future = model.submit(x=np.zeros((12, 2)))
    assert future.cancel()
    assert all(way.held.get(timeout=WAIT_S).future.cancelled() for _ in range(3))


@pytest.mark.parametrize("closed", [True, False])
def test_a_split_call_ends_though_its_next_request_waits_to_be_sent(way: FakeTransport, closed: bool) -> None:
    go = Event()
    with Client(transports=[way], timeout_s=None if closed else 1.0) as client:
        model = client.model("double")
        assert model.spec
        way.holding = True
        future = model.submit(x=np.zeros((4 * (WINDOW + 1), 2)))
        for _ in range(100):  # whoever would send it is busy
            client._router._workers.run(lambda: go.wait(WAIT_S))
        for _ in range(WINDOW):
            way.held.get(timeout=WAIT_S).answer()
        assert not future.done()
        if closed:
            client.close()
        assert type(error_of(future)) is (Cancelled if closed else DeadlineExceeded)
        go.set()
    assert len(way.requests) == WINDOW


def test_a_process_without_threads_to_spare_loses_what_it_asks_meanwhile_alone(
    way: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Client(transports=[way], timeout_s=1.0) as client:
        model = client.model("double")
        with monkeypatch.context() as full:
            full.setattr("threading.Thread.start", no_more)
            for _ in range(2):
                assert str(error_of(model.submit(x=[[1, 1]]))) == "the client can start no thread"
        assert model.submit(x=[[1, 1]]).result(WAIT_S)["y"].tolist() == [[2, 2]]
        way.holding = True
        assert type(error_of(model.submit(x=[[1, 1]]))) is DeadlineExceeded


def test_no_rows_are_no_call(model: Model, way: FakeTransport) -> None:
    outputs = model(x=np.empty((0, 2)))
    assert (outputs["y"].shape, outputs["y"].dtype) == ((0, 2), np.float32)
    assert way.requests == []


def test_nan_travels(model: Model) -> None:
    assert np.isnan(model(x=[[np.nan, 1]])["y"][0, 0])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({}, r"model 'double' needs input 'x' FP32 \[-1, 2\]"),
        ({"z": [1]}, "unexpected inference input 'z' for model 'double': it has x"),
        ({"x": [[1, 2, 3]]}, r"input 'x' of model 'double' is FP32 \[-1, 2\], given int64 \[1, 3\]"),
        ({"x": [["a", "b"]]}, "input 'x' .*"),
    ],
)
def test_wrong_arrays_are_not_sent(
    model: Model, way: FakeTransport, arrays: dict[str, list[object]], complaint: str
) -> None:
    for _ in range(2):  # before the spec is known, and after
        with pytest.raises(InvalidRequest, match=f"^{complaint}$"):
            model(**arrays)
    assert way.requests == []


class Unwilling:
    """Converts to no array, as a tensor of torch that requires a gradient."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("call detach() first")


def test_an_array_that_cannot_be_had_is_the_end_of_its_own_call_alone(
    way: FakeTransport, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Event()
    monkeypatch.setattr(way, "model_spec", lambda *_: (answer.wait(WAIT_S), spec)[1])
    with Client(transports=[way]) as client:
        model = client.model("double")
        before, bad, after = (model.submit(x=x) for x in ([[1, 1]], Unwilling(), [[2, 2]]))
        answer.set()
        assert before.result(WAIT_S)["y"].tolist() == [[2, 2]]
        assert after.result(WAIT_S)["y"].tolist() == [[4, 4]]
        for error in (error_of(bad), error_of(model.submit(x=Unwilling()))):
            assert type(error) is InvalidRequest
            assert (
                str(error) == "input 'x' of model 'double' cannot be made an array: RuntimeError: call detach() first"
            )
            assert isinstance(error.__cause__, RuntimeError)


def test_whatever_fails_on_the_way_is_the_end_of_the_call(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def split(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("sonic.client.calls.split", split)
    for _ in range(2):  # before the spec is known, and after
        assert str(error_of(model.submit(x=[[1, 1]]))) == "MemoryError: no room"
        assert model.spec


def test_an_input_may_be_named_anything() -> None:
    spec = ModelSpec("odd", "1", (TensorSpec("self", DType.FP32, (1,)), TensorSpec("a.b", DType.FP32, (1,))), ())
    with Client(transports=[FakeTransport([spec], lambda _: {})]) as client:
        assert client.model("odd")(**{"self": [1], "a.b": [2]}) == {}


def test_an_answer_that_was_not_declared(way: FakeTransport, spec: ModelSpec) -> None:
    bad = FakeTransport([spec], lambda request: {"y": request.inputs["x"][:1]})
    with Client(transports=[bad]) as client, pytest.raises(ModelFailed, match=r"shape \[1, 2\] for 3 rows"):
        client.model("double")(x=np.zeros((3, 2)))


def test_the_deadline_covers_the_metadata() -> None:
    with RudePeer(hang_up=False) as peer:
        for scheme in ("grpc", "http"):
            with Model(f"{scheme}://{peer.target}/m", timeout_s=0.2) as model:
                assert isinstance(error_of(model.submit(x=[1])), DeadlineExceeded | Unavailable)
                with pytest.raises((DeadlineExceeded, Unavailable)):
                    _ = model.spec


def test_the_deadline_of_a_call(way: FakeTransport) -> None:
    with Client(transports=[way], timeout_s=0.5) as client:
        model = client.model("double")
        assert model(x=[[1, 1]])
        assert 0 < way.requests[0].timeout_s <= 0.5
        way.holding = True
        error = error_of(model.submit(x=np.zeros((9, 2))))
        assert type(error) is DeadlineExceeded
        parts = [way.held.get(timeout=WAIT_S).future for _ in range(3)]
        wait(parts, WAIT_S)  # their owner may learn of the end before they are given up
        assert all(part.cancelled() for part in parts)


def test_versions(way: FakeTransport) -> None:
    with Client(transports=[way]) as client:
        client.model("double", "7")(x=[[1, 1]])
    assert way.requests[0].version == "7"


def test_statistics_of_all_servers_together(make_way: Callable[[str], FakeTransport]) -> None:
    ways = [make_way(f"fake:{n}") for n in range(3)]
    with Client(transports=ways) as client:
        model = client.model("double")
        for _ in range(6):
            model(x=[[1, 1]])
        assert all(way.requests for way in ways)
        assert model.statistics().inference_count == 6
        ways[0].down = Unavailable("down")
        assert model.statistics().inference_count == 6 - len(ways[0].requests)
        for way in ways:
            way.down = Unavailable("down")
        with pytest.raises(Unavailable):
            model.statistics()


def test_executions_of_all_servers_by_size(
    make_way: Callable[[str], FakeTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [make_way(f"fake:{n}") for n in range(2)]
    for way, sizes in zip(ways, [(1, 4), (2, 4)], strict=True):
        batches = tuple(BatchStatistics(size, Duration(1, 10), Duration(1, size), Duration(1, 0)) for size in sizes)
        known = ModelStatistics("double", "1", batches=batches)
        monkeypatch.setattr(way, "statistics", lambda *_, known=known: known)
    with Client(transports=ways) as client:
        total = client.model("double").statistics().batches
    assert [batch.batch_size for batch in total] == [1, 2, 4]
    assert total[2] == BatchStatistics(4, Duration(2, 20), Duration(2, 8), Duration(2, 0))
