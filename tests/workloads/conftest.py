"""Events for the tests of the workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import awkward as ak


@pytest.fixture(scope="session")
def generated() -> ak.Array:
    """Twelve top-quark pairs."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    from sonic.workloads.simulation.processes import find
    from sonic.workloads.simulation.sample import simulate

    return simulate(find("tt"), 12, seed=1)


@pytest.fixture(scope="session")
def boosted() -> ak.Array:
    """Six top-quark pairs of high momentum: with wide jets."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    from sonic.workloads.simulation.processes import find
    from sonic.workloads.simulation.sample import simulate

    return simulate(find("tt_high"), 6, seed=1)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the networks of `miniaod` at a quarter of their width, with random weights from seed 3."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from sonic.workloads import export

    folder = tmp_path_factory.mktemp("tiny")
    return {
        name: export.write(name, export.random_network(name, 0.25, seed=3), folder / name, {"weights": "random"})
        for name in ("particlenet-ak4", "deepmet")
    }
