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
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the networks that ship, at a quarter of their width, with random weights from seed 3."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from sonic.workloads import export
    from sonic.workloads.zoo import NETWORKS

    folder = tmp_path_factory.mktemp("tiny")
    return {
        network.name: export.write(
            network.name,
            export.random_network(network.name, 0.25, seed=3),
            folder / network.name,
            {"weights": "random"},
        )
        for network in NETWORKS
        if network.shipped
    }
