"""A server of models that give back what they get, for all tests of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sonic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.server.app import Server

CONFIG = """
backend: "identity"
max_batch_size: 64
input {{ name: "x" data_type: TYPE_FP32 dims: [ {length} ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ {length} ] }}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, length in (("echo", 16), ("large", 100_000)):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(CONFIG.format(length=length))
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    sockets = {f"{kind}_socket": repository.parent / f"{kind}.sock" for kind in ("grpc", "http")}
    with sonic.serve(repository, **sockets) as running:
        yield running
