"""Found tracks against true particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.tracking.helix import QPT
from sonic.workloads.uncertainties import efficiency_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Floats
    from sonic.workloads.tracking.simulation import Event, Ints

    Bools = NDArray[np.bool_]


class Matched(NamedTuple):
    """What became of an event's particles, and what the tracks are.

    Attributes
    ----------
    particle : int array [tracks]
        Whose hits most of a track are; -1: nobody's, it is a fake.
    again : bool array [tracks]
        Whether a better track of the same particle was there before it.
    findable : bool array [particles]
        Whether a particle has hits enough.
    found : bool array [particles]
    pt_gev : float array [particles]
    """

    particle: Ints
    again: Bools
    findable: Bools
    found: Bools
    pt_gev: Floats

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Findable particles that were found, findable ones; tracks that are nobody's, tracks."""
        found = int(self.found[self.findable].sum())
        return found, int(self.findable.sum()), int((self.particle < 0).sum()), len(self.particle)

    @property
    def efficiency(self) -> float:
        """Fraction of the findable particles that were found; NaN without any."""
        return float(self.found[self.findable].mean()) if self.findable.any() else float("nan")

    @property
    def fake_rate(self) -> float:
        """Fraction of the tracks that are nobody's; NaN without any."""
        return float((self.particle < 0).mean()) if len(self.particle) else float("nan")


def match(event: Event, tracks: Ints, *, min_hits: int = 6, purity: float = 0.75) -> Matched:
    """Compare tracks with the truth.

    Parameters
    ----------
    event : Event
    tracks : int array [tracks, hits]
        Numbers of their hits; -1 in places without.
    min_hits : int
        Of a particle that could be found.
    purity : float
        Least fraction of a track's hits that are from its particle.
    """
    number = event.tracks.shape[1]
    of_particle = np.bincount(event.particle[event.particle >= 0], minlength=number)
    particle = np.full(len(tracks), -1)
    for i, hits in enumerate(tracks):
        owners = event.particle[hits[hits >= 0]]
        real = owners[owners >= 0]
        if len(real):
            counts = np.bincount(real)
            if counts.max() >= purity * len(owners):
                particle[i] = counts.argmax()
    _, first = np.unique(particle, return_index=True)
    again = particle >= 0
    again[first] = False
    found = np.zeros(number, bool)
    found[particle[particle >= 0]] = True
    return Matched(particle, again, of_particle >= min_hits, found, 1 / np.abs(event.tracks[QPT]))


def by_pt(matched: Iterable[Matched], edges_gev: Floats) -> tuple[Floats, Floats]:
    """Return efficiency and its errors in bins of pT; NaN in empty ones.

    Returns
    -------
    efficiency : float array [bins]
    errors : float array [2, bins]
        Down and up, of :func:`sonic.workloads.uncertainties.efficiency_errors`.
    """
    rows = list(matched)
    pt = np.concatenate([np.empty(0), *(each.pt_gev[each.findable] for each in rows)])
    found = np.concatenate([np.empty(0, bool), *(each.found[each.findable] for each in rows)])
    total, _ = np.histogram(pt, edges_gev)
    passed, _ = np.histogram(pt[found], edges_gev)
    with np.errstate(invalid="ignore", divide="ignore"):
        return passed / total, efficiency_errors(passed, total)
