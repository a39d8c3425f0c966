from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.client.gathering import WINDOW
from sonic.client.model import Client
from sonic.coffea.requests import REQUEST_BYTES, call, rows_a_request, send
from sonic.errors import ModelFailed
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.client.model import Model

WAIT_S = 30


def spec(shape: tuple[int, ...] = (-1, 2), largest: int = 0) -> ModelSpec:
    return ModelSpec("m", "1", (TensorSpec("x", DType.FP32, shape),), (TensorSpec("y", DType.FP32, shape),), largest)


def twice(request: Any) -> dict[str, np.ndarray]:
    return {"y": 2 * request.inputs["x"]}


def rows(count: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(2 * count, dtype=np.float32).reshape(count, 2)}


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Model, FakeTransport]]]:
    clients = []

    def made(largest: int, answer: Any = twice) -> tuple[Model, FakeTransport]:
        transport = FakeTransport([spec(largest=largest)], answer)
        clients.append(Client(transports=[transport]))
        return clients[-1].model("m"), transport

    yield made
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("largest", "batch_rows", "count", "expected"),
    [
        (8, -1, 8, [8]),
        (8, -1, 9, [4, 5]),
        (8, 3, 7, [2, 2, 3]),
        (8, 100, 16, [8, 8]),
        (0, -1, 50, [50]),
        (0, 20, 50, [16, 17, 17]),
        (8, -1, 0, []),
    ],
)
def test_rows_are_parted_evenly_and_none_is_made_up(
    largest: int, batch_rows: int, count: int, expected: list[int], serve: Any
) -> None:
    model, transport = serve(largest)
    outputs = send(model, rows(count), batch_rows).result()
    np.testing.assert_array_equal(outputs["y"], 2 * rows(count)["x"])
    assert [len(request.inputs["x"]) for request in transport.requests] == expected
    np.testing.assert_array_equal(call(model, rows(count), batch_rows)["y"], outputs["y"])
    assert [len(request.inputs["x"]) for request in transport.requests] == expected + expected


def test_a_large_call_is_parted_by_bytes() -> None:
    wide = {"x": np.zeros((64, 1 << 16), np.float32)}  # 256 KiB a row
    assert rows_a_request(spec((-1, 1 << 16), 64), wide, -1) == REQUEST_BYTES >> 18
    wider = {"x": np.zeros((2, 1 << 21), np.float32)}  # 8 MiB a row
    assert rows_a_request(spec((-1, 1 << 21)), wider, -1) == 1


@pytest.mark.parametrize(
    ("model", "arrays"),
    [
        (spec((4, 2)), {"x": np.zeros((4, 2))}),
        (spec(), {"x": np.zeros((4, 2)), "offsets": np.zeros(3)}),
        (spec(), {"x": np.float32(1)[...]}),
        (spec(largest=8), rows(0)),
    ],
)
def test_what_has_no_rows_of_its_own_is_not_parted(model: ModelSpec, arrays: dict[str, np.ndarray]) -> None:
    assert rows_a_request(model, arrays, 2) is None


def test_requests_are_in_flight_together_up_to_a_window(serve: Any) -> None:
    model, transport = serve(1)
    _ = model.spec
    transport.holding = True
    done = []
    sender = threading.Thread(target=lambda: done.append(send(model, rows(WINDOW + 1), -1)))
    sender.start()
    try:
        held = [transport.held.get(timeout=WAIT_S) for _ in range(WINDOW)]
        assert transport.held.empty()
        held[0].answer()
        held.append(transport.held.get(timeout=WAIT_S))
    finally:
        for one in held[1:]:
            one.answer()
        sender.join(WAIT_S)
    assert done[0].done()
    np.testing.assert_array_equal(done[0].result()["y"], 2 * rows(WINDOW + 1)["x"])


def test_the_first_failure_is_the_call_s_and_the_rest_is_given_up(serve: Any) -> None:
    model, transport = serve(1)
    _ = model.spec
    transport.holding = True
    pending = send(model, rows(3), -1)
    first, second, third = (transport.held.get(timeout=WAIT_S) for _ in range(3))
    first.answer()
    second.fail(ModelFailed("no"))
    with pytest.raises(ModelFailed, match="no"):
        pending.result()
    assert third.future.cancelled()


def test_a_failure_keeps_the_rest_from_being_sent(serve: Any) -> None:
    model, transport = serve(1)
    transport.then(ModelFailed("no"))
    with pytest.raises(ModelFailed, match="no"):
        send(model, rows(3 * WINDOW), -1).result()
    assert len(transport.requests) == WINDOW


def test_a_call_is_given_up_with_all_its_requests(serve: Any) -> None:
    model, transport = serve(1)
    _ = model.spec
    transport.holding = True
    pending = send(model, rows(2), -1)
    held = [transport.held.get(timeout=WAIT_S) for _ in range(2)]
    assert not pending.done()
    pending.cancel()
    assert all(one.future.cancelled() for one in held)


def test_a_model_that_loses_rows_of_a_part_is_told_on(serve: Any) -> None:
    model, _ = serve(0, lambda request: {"y": request.inputs["x"][:1]})
    assert len(send(model, rows(4), -1).result()["y"]) == 1  # one request: the model's own affair
    with pytest.raises(ModelFailed, match=r"output 'y' of model 'm' has shape \[1, 2\] for 2 rows"):
        send(model, rows(4), 2).result()
