"""A sample small enough to train on in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan with top-quark pairs alone: each further process costs a second."""
    pytest.importorskip("torch")
    pytest.importorskip("pythia8mc")
    from sonic.workloads.simulation.processes import find
    from sonic.workloads.training import datasets

    monkeypatch.setattr(datasets, "PROCESSES", (find("tt"),))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that keeps the blocks from one test to the next."""
    return tmp_path_factory.mktemp("training")
