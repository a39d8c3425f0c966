from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

import sonic

pytest.register_assert_rewrite("sonic.testing.conformance")

from sonic.testing.conformance import write_models  # noqa: E402 - its assertions are to be rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
