from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sonic
from sonic.coffea import disconnect
from sonic.testing.conformance import write_models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.server.app import Server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that give back their inputs: `echo` and `text`, 8 rows at most, and `plain`, without a batch dimension."""
    folder = write_models(tmp_path_factory.mktemp("models"))
    (folder / "plain" / "1").mkdir(parents=True)
    (folder / "plain" / "config.pbtxt").write_text(
        'backend: "identity" input { name: "x" data_type: TYPE_FP32 dims: [ -1, -1 ] }'
        ' output { name: "y" data_type: TYPE_FP32 dims: [ -1, -1 ] }'
    )
    (folder / "text" / "1").mkdir(parents=True)
    (folder / "text" / "config.pbtxt").write_text(
        'backend: "identity" max_batch_size: 8 input { name: "x" data_type: TYPE_STRING dims: [ 2 ] }'
        ' output { name: "y" data_type: TYPE_STRING dims: [ 2 ] }'
    )
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    with sonic.serve(models, cores=1) as running:
        yield running


@pytest.fixture
def address(server: Server) -> str:
    """Host and port, as they stand in a URL of coffea's."""
    return server.grpc_url.removeprefix("grpc://")


@pytest.fixture(autouse=True)
def _disconnected() -> Iterator[None]:
    yield
    disconnect()
