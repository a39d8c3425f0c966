"""Events for the tests of the trigger path: drawn jets, and an event with nothing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.workloads.simulation.pythia import Particles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def hlt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn events with pile-up, then one without a particle."""
    pytest.importorskip("fastjet")
    from sonic.workloads.eventfile import write
    from sonic.workloads.hlt import drawn
    from sonic.workloads.hlt.sample import simulate
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


@pytest.fixture(scope="session")
def hlt_server() -> Iterator[str]:
    """URL of a server with the models that ship."""
    import sonic
    from sonic.workloads import MODELS

    with sonic.serve(MODELS, cores=1) as started:
        yield started.grpc_url


@pytest.fixture(scope="session")
def hlt_bad_file(hlt_events: ak.Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two events without truth: one with a single hit and no digis, one with few digis and much that is no number."""

    from sonic.workloads.eventfile import write

    def jagged(*rows: np.ndarray) -> ak.Array:
        return ak.unflatten(np.concatenate(rows), [len(row) for row in rows])

    first, second = ({name: np.asarray(hlt_events[name][i]) for name in hlt_events.fields} for i in range(2))
    for name in first:
        if name.startswith(("Digi", "Hit")):
            first[name] = first[name][: name.startswith("Hit")]
    for name in ("Hit_phi", "Cell_energy"):
        second[name] = np.where(np.arange(len(second[name])) % 7, second[name], np.nan)
    for name in ("Digi_channel", "Digi_slices"):
        second[name] = second[name][:800]
    second["Digi_channel"] = np.append(second["Digi_channel"][:-1], np.int32(99_999))  # no channel has that number
    columns: dict[str, ak.Array] = {"event": np.arange(2, dtype=np.uint64)}
    for collection, parts in (
        ("Digi", ("channel", "slices")),
        ("Cell", ("ieta", "iphi", "energy")),
        ("Hit", ("layer", "phi", "z")),
    ):
        columns[collection] = ak.zip(
            {part: jagged(*(each[f"{collection}_{part}"] for each in (first, second))) for part in parts}
        )
    file = tmp_path_factory.mktemp("hlt") / "bad.root"
    write(file, [columns])
    return file


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
