"""Events for the tests of the trigger path: drawn jets, and an event with nothing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from sonic.workloads.simulation.pythia import Particles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import awkward as ak


@pytest.fixture(scope="session")
def hlt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn events with pile-up, then one without a particle."""
    pytest.importorskip("fastjet")
    from sonic.workloads.hlt import drawn
    from sonic.workloads.hlt.sample import simulate, write
    from sonic.workloads.simulation.pythia import Collisions

    made = drawn.collisions(3, seed=5)
    nothing = made.stable[:0]
    file = tmp_path_factory.mktemp("hlt") / "events.root"
    blocks = (simulate(made, 20.0, 5), simulate(Collisions(nothing, nothing, nothing, 1), 0.0, 5, first=3))
    assert write(file, blocks) == 4
    return file


@pytest.fixture(scope="session")
def hlt_events(hlt_file: Path) -> ak.Array:
    """The same, read."""
    with uproot.open(hlt_file) as file:
        return file["Events"].arrays()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def particle() -> Callable[..., Particles]:
    """Make one particle, or several alike."""

    def make(code: int, charge: int, pt: float, eta: float, phi: float, number: int = 1) -> Particles:
        def each(value: float, kind: type = float) -> np.ndarray:
            return np.full(number, value, kind)

        momentum = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
        return Particles(
            each(0, np.int64), each(code, np.int32), each(charge, np.int32), *map(each, momentum),
            each(pt * np.cosh(eta)), each(0), each(0), each(0), each(0, np.int32),
        )  # fmt: skip

    return make
