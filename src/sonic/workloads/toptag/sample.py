"""Generated events for top tagging as a ROOT file: top-quark pairs and jets of quarks and gluons, of momenta alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.simulation.pfnano import write_pfnano
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import simulate
from sonic.workloads.toptag.images import BRANCHES, constituents
from sonic.workloads.toptag.substructure import substructure

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sonic.workloads.progress import Progress

TOP, QCD = "tt_400", "qcd_400"
"""Processes whose hard transverse momentum begins at 400 GeV."""
_BLOCK = 100


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    top_share: float = 0.6,
) -> int:
    """Top-quark pairs and jets of quarks and gluons above 400 GeV, in the layout of a PFNano file.

    Parameters
    ----------
    file : path
    events : int
    seed : int
        The same one and the same share give the same events.
    progress : callable of (stage, done, total), optional
    top_share : float
        Of events that are pairs of top quarks; they come first in each block of 100.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    ConfigError
        If a number makes no sense, or pythia8mc or fastjet is not installed.
    OutputError
        If the file cannot be written.
    """
    if events < 1 or not 0 <= top_share <= 1:
        raise ConfigError(f"expected events of 1 or more, top_share in [0, 1], given {events}, {top_share}")

    def blocks() -> Iterator[ak.Array]:
        for block, start in enumerate(range(0, events, _BLOCK)):
            number = min(_BLOCK, events - start)
            top = round(number * top_share)
            for process, part, first in ((TOP, top, start), (QCD, number - top, start + top)):
                if part:
                    made = with_substructure(simulate(find(process), part, seed, block))
                    # Each process numbers its own events.
                    yield ak.with_field(made, np.arange(first, first + part, dtype=np.uint64), "event")
            if progress:
                progress("events", start + number, events)

    return write_pfnano(file, blocks())


def with_substructure(events: ak.Array) -> ak.Array:
    """Return what tagging needs of simulated events, with soft-drop masses and N-subjettiness of the wide jets.

    Parameters
    ----------
    events : ak.Array
        As of :func:`sonic.workloads.simulation.sample.simulate`.
    """
    counts = ak.num(events.FatJet_pt)
    got = substructure(constituents(events), np.asarray(ak.flatten(events.FatJet_eta), np.float64))
    added = {"msoftdrop": got.mass_gev, "tau1": got.tau1, "tau2": got.tau2, "tau3": got.tau3}
    kept = {name: events[name] for name in ("event", *BRANCHES, "FatJet_mass", "FatJet_truthClass")}
    kept |= {f"FatJet_{name}": ak.unflatten(values.astype(np.float32), counts) for name, values in added.items()}
    return ak.zip(kept, depth_limit=1)
