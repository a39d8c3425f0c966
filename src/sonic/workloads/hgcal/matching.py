"""Found clusters against true showers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Bools, Floats, Ints

MIN_HITS = 5
"""Of a shower that could be found."""


class Matched(NamedTuple):
    """What became of an event's showers, and what its clusters are.

    A shower is found by a cluster that has more than half of its energy, and more than half of whose energy is its own;
    there is one at most, and it finds no other. A shower is merged if it is not found and more than half of its energy
    is in a cluster that finds another. A cluster that finds none is a fake: noise, a piece, or a mixture.

    Attributes
    ----------
    cluster : int array [showers]
        Number of that which found it; -1: none.
    findable : bool array [showers]
        Whether a shower has hits enough.
    merged : bool array [showers]
    fake : bool array [clusters]
    """

    cluster: Ints
    findable: Bools
    merged: Bools
    fake: Bools

    @property
    def found(self) -> Bools:
        """Whether a shower was found; bool array [showers]."""
        return self.cluster >= 0

    @property
    def efficiency(self) -> float:
        """Fraction of the findable showers that were found; NaN without any."""
        return float(self.found[self.findable].mean()) if self.findable.any() else float("nan")

    @property
    def fake_rate(self) -> float:
        """Fraction of the clusters that found none; NaN without any."""
        return float(self.fake.mean()) if len(self.fake) else float("nan")


def match(label: Ints, shower: Ints, energy: Floats, fraction: Floats, showers: int) -> Matched:
    """Compare the clusters of one event with the truth.

    Parameters
    ----------
    label : int array [hits]
        Number of each hit's cluster; -1: in none.
    shower : int array [hits]
        Number of the particle that most of it is from; -1: noise.
    energy : float array [hits]
        Whatever its unit.
    fraction : float array [hits]
        How much of it is from that particle.
    showers : int
        Particles of the event.
    """
    clusters = int(label.max(initial=-1)) + 1
    own = energy * fraction
    real, inside = shower >= 0, label >= 0
    shared = np.zeros((showers, clusters))
    both = real & inside
    np.add.at(shared, (shower[both], label[both]), own[both])
    of_shower = np.bincount(shower[real], own[real], showers)
    of_cluster = np.bincount(label[inside], energy[inside], clusters)
    most = shared > 0.5 * of_shower[:, None]
    pure = shared > 0.5 * of_cluster
    matched: Bools = most & pure
    cluster = np.full(showers, -1)
    row, column = np.nonzero(matched)
    cluster[row] = column
    taken = matched.any(axis=0)
    merged = (cluster < 0) & (most & taken).any(axis=1)
    findable: Bools = np.bincount(shower[real], minlength=showers) >= MIN_HITS
    return Matched(cluster, findable, np.asarray(merged & findable), ~np.asarray(taken))


def nearest_cm(entry_cm: Floats) -> Floats:
    """Return the distance of each particle to the next at the front face; infinite for one alone.

    Parameters
    ----------
    entry_cm : float array [2, particles]
    """
    away = entry_cm[:, :, None] - entry_cm[:, None, :]
    distance = np.hypot(*away)
    np.fill_diagonal(distance, np.inf)
    return np.asarray(distance.min(axis=1, initial=np.inf))
