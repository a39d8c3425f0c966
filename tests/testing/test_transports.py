from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import Cancelled, InvalidRequest, ModelNotFound, Unavailable
from sonic.protocol.messages import InferRequest
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

SPEC = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1,)),), (TensorSpec("y", DType.FP32, (-1,)),))
REQUEST = InferRequest("m", {"x": np.ones(1, np.float32)}, id="5")


@pytest.fixture
def fake() -> FakeTransport:
    return FakeTransport([SPEC], lambda request: {"y": request.inputs["x"]})


def test_answers_at_once(fake: FakeTransport) -> None:
    response = fake.submit(REQUEST).result(0)
    assert (response.model, response.version, response.id) == ("m", "1", "5")
    assert fake.requests == [REQUEST]
    assert fake.model_spec("m") is SPEC
    assert [row.name for row in fake.models()] == ["m"]
    assert fake.statistics("m").inference_count == 1


def test_follows_its_script(fake: FakeTransport) -> None:
    fake.then(Unavailable("first"), None, InvalidRequest("third"))
    ends = [type(fake.submit(REQUEST).exception(0)) for _ in range(4)]
    assert ends == [Unavailable, type(None), InvalidRequest, type(None)]


def test_holds_until_told(fake: FakeTransport) -> None:
    fake.holding = True
    first, second = fake.submit(REQUEST), fake.submit(REQUEST)
    assert not first.done()
    fake.held.get(timeout=0).answer()
    fake.held.get(timeout=0).fail(Unavailable("no"))
    assert first.result(0).outputs
    assert isinstance(second.exception(0), Unavailable)


def test_down_and_closed(fake: FakeTransport) -> None:
    assert isinstance(fake.submit(InferRequest("other", {})).exception(0), ModelNotFound)
    fake.down = Unavailable("down")
    assert fake.submit(REQUEST).exception(0) is fake.down
    assert not fake.ready()
    with pytest.raises(Unavailable):
        fake.model_spec("m")
    fake.down = None
    fake.holding = True
    held = fake.submit(REQUEST)
    fake.close()
    assert isinstance(held.exception(0), Cancelled)
    assert isinstance(fake.submit(REQUEST).exception(0), Cancelled)
    with pytest.raises(Cancelled):
        fake.statistics("m")
