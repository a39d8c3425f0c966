from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

import sonic
from sonic.client.model import Client
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

pytest.register_assert_rewrite("sonic.testing.conformance")

from sonic.testing.conformance import write_models  # noqa: E402 - its assertions are to be rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.client.model import Model
    from sonic.server.app import Server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models that the conformance suite calls."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    """Server of these models, over gRPC and HTTP."""
    with sonic.serve(models) as server:
        yield server


@pytest.fixture
def free_port() -> int:
    """Port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def spec() -> ModelSpec:
    """What the model says of itself that the fakes have."""
    return ModelSpec(
        "double",
        "1",
        (TensorSpec("x", DType.FP32, (-1, 2)),),
        (TensorSpec("y", DType.FP32, (-1, 2)),),
        max_batch_size=4,
    )


@pytest.fixture
def make_way(spec: ModelSpec) -> Callable[[str], FakeTransport]:
    """Make a transport of that name, whose model doubles `x` into `y`."""
    return lambda url: FakeTransport([spec], lambda request: {"y": 2 * request.inputs["x"]}, url)


@pytest.fixture
def way(make_way: Callable[[str], FakeTransport]) -> FakeTransport:
    """A single such transport."""
    return make_way("fake:a")


@pytest.fixture
def model(way: FakeTransport) -> Iterator[Model]:
    """The model on it."""
    with Client(transports=[way]) as client:
        yield client.model("double")
