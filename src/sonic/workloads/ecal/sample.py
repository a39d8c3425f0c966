"""Simulated electrons as a ROOT file that the workflow ``ecal`` reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.workloads import eventfile
from sonic.workloads.ecal.simulation import Beam, blocks, join, parted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sonic.workloads.ecal.simulation import Electrons
    from sonic.workloads.progress import Progress

CELLS = ("cluster", "layer", "ieta", "iphi", "energy")


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    electrons_mean: float = 2.0,
    pileup: float = 0.0,
    min_energy_gev: float = 5.0,
    max_energy_gev: float = 300.0,
) -> int:
    """Electrons in a barrel calorimeter of four layers, as the cells of their clusters.

    Parameters
    ----------
    file : path
    events : int
    seed : int
        The same one and the same options give the same events.
    progress : callable of (stage, done, total), optional
    electrons_mean : float
        Of an event, Poisson distributed: some have none.
    pileup : float
        Mean number of other collisions.
    min_energy_gev, max_energy_gev : float
        Of electrons, whose energies are spread evenly in their logarithm.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    ConfigError
        If a number makes no sense.
    OutputError
        If the file cannot be written.
    """
    if events < 1 or not 0 <= electrons_mean < math.inf:
        raise ConfigError(f"expected events >= 1 and electrons_mean >= 0, given {events} and {electrons_mean}")
    beam = Beam(min_energy_gev, max_energy_gev, pileup=pileup)
    counts = np.random.default_rng((seed, 8)).poisson(electrons_mean, events)
    made = blocks(int(counts.sum()), beam, seed=seed, progress=progress)
    return eventfile.write(file, _by_events(made, counts))


def _by_events(made: Iterator[Electrons], counts: np.ndarray) -> Iterator[dict[str, ak.Array]]:
    """Yield the collections of some events at a time, of no more clusters than these need."""
    waiting = join([])
    for start in range(0, len(counts), eventfile.BLOCK_EVENTS):
        of_events = counts[start : start + eventfile.BLOCK_EVENTS]
        parts = [waiting]
        while sum(map(len, parts)) < of_events.sum():
            parts.append(next(made))
        mine, waiting = parted(join(parts), int(of_events.sum()))
        yield branches(mine, of_events)


def branches(made: Electrons, counts: np.ndarray) -> dict[str, ak.Array]:
    """Return the collections of events: ``Cluster`` and ``Cell``, and the truth in ``GenElectron``."""
    starts = np.cumsum(counts) - counts
    event = np.repeat(np.arange(len(counts)), counts)
    cells = (made.cluster - starts[event[made.cluster]], made.layer, made.cell_ieta, made.cell_iphi)
    integers = [column.astype(np.int32) for column in cells]
    per_event = np.bincount(event[made.cluster], minlength=len(counts))
    lists: dict[str, tuple[dict[str, Any], np.ndarray]] = {
        "Cluster": ({"ieta": made.ieta.astype(np.int32), "iphi": made.iphi.astype(np.int32)}, counts),
        "GenElectron": ({"energy": made.energy_gev, "eta": made.eta, "phi": made.phi}, counts),
        "Cell": (dict(zip(CELLS, (*integers, made.cell_gev), strict=True)), per_event),
    }
    return {name: ak.unflatten(ak.zip(columns), number) for name, (columns, number) in lists.items()}
