"""Figures of merit of a clustering, summed over events: what is found, how pure, and with which energy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sonic.workloads.hgcal.energy import measure
from sonic.workloads.hgcal.matching import match, nearest_cm
from sonic.workloads.hgcal.showers import CHARGED
from sonic.workloads.uncertainties import central

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sonic.framework import Measured
    from sonic.workloads.hgcal.detector import Bools, Floats, Ints
    from sonic.workloads.hgcal.simulation import Event

ENERGIES_GEV = (2.0, 4.0, 8.0, 16.0, 30.0)
DISTANCES_CM = (0.0, 3.0, 6.0, 9.0, 12.0, 18.0)
_FEW = 10
"""Showers from which on a figure says something."""


class Outcome(NamedTuple):
    """What became of the findable showers of events, and how many clusters there are.

    Attributes
    ----------
    true_gev, distance_cm : float array [showers]
        The second is to the next particle at the front face.
    hadron, found, merged : bool array [showers]
    response : float array [showers]
        Energy of the cluster over the true one; NaN if it was not found.
    clusters, fakes : int
    """

    true_gev: Floats
    distance_cm: Floats
    hadron: Bools
    found: Bools
    merged: Bools
    response: Floats
    clusters: int
    fakes: int

    @property
    def efficiency(self) -> float:
        """Fraction of the showers that were found; NaN without any."""
        return _mean(self.found)

    @property
    def merged_rate(self) -> float:
        """Fraction of the showers that are in the cluster of another; NaN without any."""
        return _mean(self.merged)

    @property
    def fake_rate(self) -> float:
        """Fraction of the clusters that found no shower; NaN without any."""
        return self.fakes / self.clusters if self.clusters else float("nan")

    def chosen(self, which: Bools) -> Outcome:
        """Return some of the showers; clusters are of no particular shower and stay."""
        return Outcome(
            self.true_gev[which],
            self.distance_cm[which],
            self.hadron[which],
            self.found[which],
            self.merged[which],
            self.response[which],
            self.clusters,
            self.fakes,
        )


@dataclass(frozen=True)
class Bins:
    """Efficiency and response in bins.

    Parameters
    ----------
    edges : tuple of float
    number : int array [bins]
        Of findable showers.
    efficiency : float array [bins]
    response, resolution : float array [bins]
        Median of found over true energy; half of what lies between the quantiles 16 % and 84 %, by the median.
        NaN, as the efficiency, where there are few.
    response_error, resolution_error : float array [bins]
        Statistical ones, of :func:`sonic.workloads.uncertainties.central`.
    """

    edges: tuple[float, ...]
    number: Ints
    efficiency: Floats
    response: Floats
    resolution: Floats
    response_error: Floats
    resolution_error: Floats

    def listed(self) -> dict[str, list[Any]]:
        """Return everything as lists of rounded numbers, None for NaN."""
        columns = {name: getattr(self, name) for name in ("efficiency", "response", "resolution")}
        rows: dict[str, list[Any]] = {"edges": list(self.edges), "number": self.number.tolist()}
        return rows | {name: [_rounded(value) for value in values] for name, values in columns.items()}


def outcome(made: Event, label: Ints) -> Outcome:
    """Say what a clustering makes of an event.

    Parameters
    ----------
    made : Event
        Hits that cannot be used are left out.
    label : int array [hits]
        Number of each hit's cluster; -1: in none.
    """
    there = made.hits.usable()
    hits, label = made.hits.chosen(there), label[there]
    matched = match(label, made.shower[there], hits.weighted(), made.fraction[there], len(made.kind))
    clusters = measure(label, hits)
    response = np.full(len(made.kind), np.nan)
    found = matched.found
    response[found] = clusters.energy_gev[matched.cluster[found]] / made.true_gev[found]
    every = Outcome(
        made.true_gev,
        nearest_cm(made.entry_cm),
        made.kind >= CHARGED,
        found,
        matched.merged,
        response,
        len(matched.fake),
        int(matched.fake.sum()),
    )
    return every.chosen(matched.findable)


def total(outcomes: Iterable[Outcome]) -> Outcome:
    """Join the outcomes of events."""
    nothing, nobody = np.empty(0), np.empty(0, bool)
    rows = [Outcome(nothing, nothing, nobody, nobody, nobody, nothing, 0, 0), *outcomes]
    return Outcome(
        np.concatenate([row.true_gev for row in rows]),
        np.concatenate([row.distance_cm for row in rows]),
        np.concatenate([row.hadron for row in rows]),
        np.concatenate([row.found for row in rows]),
        np.concatenate([row.merged for row in rows]),
        np.concatenate([row.response for row in rows]),
        sum(row.clusters for row in rows),
        sum(row.fakes for row in rows),
    )


def in_bins(values: Floats, edges: tuple[float, ...], found: Outcome) -> Bins:
    """Return efficiency and response by something that showers have.

    Parameters
    ----------
    values : float array [showers]
    edges : tuple of float
    found : Outcome
    """
    number, columns = [], []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        number.append(int(inside.sum()))
        efficiency = _mean(found.found[inside]) if number[-1] >= _FEW else np.nan
        response, resolution = spread(found.response[inside])
        columns.append((efficiency, response, resolution, response.up, resolution.up))
    return Bins(edges, np.array(number), *np.array(columns).T)


def spread(response: Floats) -> tuple[Measured, Measured]:
    """Return the median and, by it, half of what lies between the quantiles 16 % and 84 %; NaN of few."""
    response = response[np.isfinite(response)]
    found = central(response if len(response) >= _FEW else [])
    return found.median, found.relative


def summary(found: Outcome) -> dict[str, Any]:
    """Return all figures as numbers and lists, to be written to a file."""
    figures: dict[str, Any] = {
        "showers": len(found.found),
        "clusters": found.clusters,
        "efficiency": _rounded(found.efficiency),
        "fake_rate": _rounded(found.fake_rate),
        "merged_rate": _rounded(found.merged_rate),
    }
    for name, which in (("electromagnetic", ~found.hadron), ("hadronic", found.hadron)):
        of = found.chosen(which)
        response, resolution = spread(of.response)
        figures[name] = {
            "efficiency": _rounded(of.efficiency),
            "response": _rounded(response),
            "resolution": _rounded(resolution),
            "by_energy_gev": in_bins(of.true_gev, ENERGIES_GEV, of).listed(),
        }
    figures["by_distance_cm"] = in_bins(found.distance_cm, DISTANCES_CM, found).listed()
    return figures


def _mean(values: Bools) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
