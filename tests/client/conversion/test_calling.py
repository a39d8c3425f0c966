from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from sonic.client.conversion import AwkwardModel, Conversion, Padded
from sonic.client.model import Client
from sonic.errors import InvalidRequest, ModelFailed, Unavailable
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = ModelSpec(
    "sums",
    "1",
    (TensorSpec("x", DType.FP32, (-1, 1, -1)), TensorSpec("mask", DType.FP32, (-1, 1, -1))),
    (TensorSpec("total", DType.FP32, (-1,)), TensorSpec("share", DType.FP32, (-1, -1))),
    max_batch_size=2,
)
ITEMS = Padded()
CONVERSION = Conversion({"x": ITEMS.channels(), "mask": ITEMS.mask()}, {"share": ITEMS.values()}, rows=1)


def sums(request: Any) -> dict[str, np.ndarray]:
    x, mask = request.inputs["x"][:, 0], request.inputs["mask"][:, 0]
    total = (x * mask).sum(axis=1)
    return {"total": total, "share": x / np.maximum(total, 1e-6)[:, None]}


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport([SPEC], sums)


@pytest.fixture
def model(transport: FakeTransport) -> Iterator[AwkwardModel]:
    with Client(transports=[transport]) as client:
        yield AwkwardModel(client.model("sums"), CONVERSION)


def test_outputs_have_the_structure_of_the_inputs(model: AwkwardModel, transport: FakeTransport) -> None:
    events = ak.Array([[[1.0, 3.0], []], [], [[2.0]], [[4.0, 4.0]]])
    future = model.submit(events)
    outputs = future.result(30)
    assert outputs["total"].to_list() == [[4.0, 0.0], [], [2.0], [8.0]]
    assert outputs["share"].to_list() == [[[0.25, 0.75], []], [], [[1.0]], [[0.5, 0.5]]]
    assert len(transport.requests) == 2  # four rows, two at a time


@pytest.mark.parametrize("events", [[], [[], []]])
def test_no_rows_are_no_call(events: list[Any], model: AwkwardModel, transport: FakeTransport) -> None:
    typed = ak.Array([*events, [[1.0]]])[:-1]
    outputs = model(typed)
    assert outputs["total"].to_list() == events
    assert outputs["share"].to_list() == events
    assert not transport.requests


def test_what_does_not_fit_ends_the_future_and_nothing_is_sent(model: AwkwardModel, transport: FakeTransport) -> None:
    with pytest.raises(InvalidRequest, match="more level"):
        model.submit(ak.Array([1.0])).result(30)
    assert not transport.requests


def test_a_failure_of_the_model_is_the_call_s(model: AwkwardModel, transport: FakeTransport) -> None:
    transport.then(ModelFailed("nothing to sum"))
    with pytest.raises(ModelFailed, match="nothing to sum"):
        model(ak.Array([[[1.0]]]))
    transport.down = Unavailable("gone")
    with pytest.raises(Unavailable):
        AwkwardModel(Client(transports=[transport], timeout_s=0.2).model("sums"), CONVERSION)(ak.Array([[[1.0]]]))


def test_a_call_that_is_given_up_is_given_up_below(model: AwkwardModel, transport: FakeTransport) -> None:
    model(ak.Array([[[1.0]]]))
    transport.holding = True
    future = model.submit(ak.Array([[[1.0]]]))
    held = transport.held.get(timeout=30)
    assert future.cancel()
    assert held.future.cancelled()


def test_it_can_be_pickled() -> None:
    with Client(["grpc://127.0.0.1:1"]) as client:
        again = pickle.loads(pickle.dumps(AwkwardModel(client.model("sums"), CONVERSION)))
    assert again.model.name == "sums"
    assert again.conversion == CONVERSION
