"""The graph network beside the combinatorial finder: time and quality as the hits of an event grow."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import candidates, passed, points
from sonic.workloads.tracking.graphs import build
from sonic.workloads.tracking.kalman import fit
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.outliers import without_outliers
from sonic.workloads.tracking.paths import paths
from sonic.workloads.tracking.simulation import Beam, event
from sonic.workloads.uncertainties import share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sonic.framework import Measured
    from sonic.workloads.tracking.detector import Floats
    from sonic.workloads.tracking.graphs import Graph
    from sonic.workloads.tracking.kalman import Bools, Fitted
    from sonic.workloads.tracking.matching import Matched
    from sonic.workloads.tracking.simulation import Event

STEPS = ("combinatorial finder", "graph building", "network", "tracks of scores", "fit")


class Compared(NamedTuple):
    """Events of one size.

    Attributes
    ----------
    hits, edges : float
        Of an event, on average.
    seconds : dict of str to float
        Processor time of an event, by :data:`STEPS`, the least of the events; the fit's is of the network's tracks.
    finder, network : list of Matched
        What became of each event's particles. Tracks have passed the fit.
    """

    hits: float
    edges: float
    seconds: dict[str, float]
    finder: list[Matched]
    network: list[Matched]


def compare(
    score: Callable[[Graph], Floats],
    particles: Sequence[int],
    *,
    events: int = 3,
    seed: int = 1000,
    beam: Beam | None = None,
) -> list[Compared]:
    """Find the tracks of the same events in both ways.

    Times are of the processor, in all threads of this process: run it with one thread.

    Parameters
    ----------
    score : callable of Graph
        Scores of its edges: the network.
    particles : sequence of int
        Of an event: a size each.
    events : int
        Of each size.
    seed : int
    beam : Beam, optional
        What is simulated otherwise.
    """
    beam = beam or Beam()
    return [_compared(score, [_simulated(beam, n, seed, i) for i in range(events)]) for n in particles]


def rates(rows: Sequence[Matched]) -> tuple[Measured, Measured]:
    """Return efficiency and fake rate of some events; NaN where there is nothing to count."""
    found, findable, fakes, tracks = np.sum([row.counts for row in rows], axis=0)
    return share(found, findable), share(fakes, tracks)


def _simulated(beam: Beam, particles: int, seed: int, number: int) -> Event:
    return event(replace(beam, particles=particles), np.random.default_rng((seed, particles, number)))


def _compared(score: Callable[[Graph], Floats], events: list[Event]) -> Compared:
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        seconds[step].append(time.process_time() - begun)

    finder, network, edges = [], [], 0
    for made in events:
        hits = made.layer, made.phi, made.z_mm
        with timed("combinatorial finder"):
            one = candidates(*hits)
        with timed("graph building"):
            graph = build(*hits)
        with timed("network"):
            scores = score(graph)
        with timed("tracks of scores"):
            other = without_outliers(paths(made.layer, graph.edges, scores, len(BARREL)), made.phi, made.z_mm)
        with timed("fit"):
            fitted = fit(points(other, made.phi, made.z_mm))
        network.append(match(made, other[_kept(fitted)]))
        finder.append(match(made, one[_kept(fit(points(one, made.phi, made.z_mm)))]))
        edges += graph.edges.shape[1]
    number = len(events)
    least = {step: min(times, default=float("nan")) for step, times in seconds.items()}
    return Compared(sum(map(len, events)) / number, edges / number, least, finder, network)


def _kept(fitted: Fitted) -> Bools:
    return passed(fitted.good, fitted.chi2, fitted.degrees_of_freedom)
