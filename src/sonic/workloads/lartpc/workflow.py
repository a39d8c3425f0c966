"""The workflow ``protodune``: hits of a liquid-argon chamber told apart by a network that is offloaded.

Beside it stands the ordinary algorithm; where the file has the truth, both are compared with it.
"""

from __future__ import annotations

from functools import cache, reduce
from typing import TYPE_CHECKING, Any
from zlib import crc32

import awkward as ak
import numpy as np

from sonic.framework import Analyzer, Offload, Producer, Workflow
from sonic.framework.module import add
from sonic.workloads import MODELS
from sonic.workloads.lartpc import linearity
from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.particles import NONE
from sonic.workloads.lartpc.patches import SIZE, cut, images, usable
from sonic.workloads.lartpc.performance import figures, sums
from sonic.workloads.lartpc.sample import HITS, PIXELS, TRUTH
from sonic.workloads.lartpc.simulation import Pixels
from sonic.workloads.networks.catalogue import network
from sonic.workloads.uncertainties import jackknife

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sonic.framework.module import Columns
    from sonic.workloads.lartpc.chamber import Chamber, Floats, Ints

MODEL = "emtrackmichel"
UNSCORED = -1.0
"""Score of a hit that is not in the chamber."""
LARGE = 1720
"""Patches of a request: what ProtoDUNE's requests had on average when they were not held small."""
_DEFAULT_MICHEL_CUT = 0.5
_PARTS = 20
"""Of the events, for the errors of the figures: hits of one track are right or wrong together."""


@cache
def michel_cut() -> float:
    """Score from which a hit counts as a Michel electron's: where efficiency and purity are best, from the metrics."""
    return float(network(MODEL).metrics().get("michel_cut", _DEFAULT_MICHEL_CUT))


class HitShapes(Producer):
    """The ordinary algorithm: how straight the charge around each hit is.

    Parameters
    ----------
    chamber : Chamber
    """

    name = "linearity"
    consumes = (*PIXELS, *HITS)
    produces = ("Hit_straightness", "Hit_straightnessKind")

    def __init__(self, chamber: Chamber = PROTODUNE) -> None:
        self._chamber = chamber

    def produce(self, events: ak.Array) -> Columns:
        """Measure each hit; -1 for those that are not in the chamber."""
        size = int(ak.sum(ak.num(events.Hit_plane)))
        straight, kind = np.full(size, UNSCORED, np.float32), np.full(size, -1, np.int8)
        for image, wire, sample, where in _by_plane(events, self._chamber):
            found = linearity.shape(image, wire, sample)
            straight[where], kind[where] = found.straightness, found.kind()
        counts = ak.num(events.Hit_plane)
        return {
            "Hit_straightness": ak.unflatten(straight, counts),
            "Hit_straightnessKind": ak.unflatten(kind, counts),
        }


class HitScores(Offload):
    """What each hit is of, by EmTrackMichel: a patch a hit.

    Parameters
    ----------
    request_rows : int
        Most patches of a request.
    chamber : Chamber
    """

    name = "hit_scores"
    model = MODEL
    consumes = (*PIXELS, *HITS)
    produces = ("Hit_trackScore", "Hit_emScore", "Hit_noneScore", "Hit_michelScore")

    def __init__(self, request_rows: int = LARGE, chamber: Chamber = PROTODUNE) -> None:
        self.request_rows = request_rows
        self._chamber = chamber

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Cut the patches, into one array for all: 9 kB each."""
        known = _usable(events, self._chamber)
        place = np.cumsum(known) - 1
        patches = np.empty((int(known.sum()), SIZE, SIZE, 1), np.float32)
        for image, wire, sample, where in _by_plane(events, self._chamber):
            patches[place[where]] = cut(image, wire, sample)
        return {"main_input": patches}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each hit its scores, -1 to those that are not in the chamber."""
        known = _usable(events, self._chamber)
        scores = np.full((len(known), len(self.produces)), UNSCORED, np.float32)
        if known.any():
            scores[known] = np.hstack([outputs["em_trk_none_netout"], outputs["michel_netout"]])
        counts = ak.num(events.Hit_plane)
        return {name: ak.unflatten(column, counts) for name, column in zip(self.produces, scores.T, strict=True)}


class HitPerformance(Analyzer):
    """Efficiencies, purities and areas under ROC curves, hit by hit, where the file has the truth."""

    name = "hit_performance"
    consumes = (*HitScores.produces, *HitShapes.produces)
    optional = TRUTH

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Count hits by what they are and what they are taken for, in each part of the events."""
        scores = np.stack([_flat(events[name]) for name in HitScores.produces], axis=1)
        known = scores[:, 0] >= 0
        total: dict[str, Any] = {"hits": len(known), "not in the chamber": int((~known).sum())}
        if not set(TRUTH) <= set(events.fields):
            return total
        kind, michel = _truth(events)
        straight, ordinary = (_flat(events[name]) for name in HitShapes.produces)
        part = np.repeat([_part(event) for event in events], np.asarray(ak.num(events[TRUTH[0]])))
        parts = {}
        for number in np.unique(part[known]):
            of = known & (part == number)
            parts[int(number)] = sums(kind[of], michel[of], scores[of, :3], scores[of, 3], straight[of], ordinary[of])
        return total | {"parts": parts}

    def summarize(self, total: Any) -> Mapping[str, float | int | str]:
        """Numbers of hits, and figures of merit."""
        rows: dict[str, float | int | str] = {"hits": total["hits"]}
        if total["not in the chamber"]:
            rows["not in the chamber"] = total["not in the chamber"]
        parts = [part for _, part in sorted(total.get("parts", {}).items())]
        return rows | (jackknife(parts, lambda some: figures(reduce(add, some), michel_cut())) if parts else {})


def workflow(chamber: Chamber = PROTODUNE, *, request_rows: int = LARGE) -> Workflow:
    """Return the workflow ``protodune``.

    An event's patches take tens of megabytes, so that a chunk is one event unless the job says otherwise.

    Parameters
    ----------
    chamber : Chamber
    request_rows : int
        Most patches of a request; an event's requests are in flight together.
    """
    return Workflow(
        name="protodune",
        modules=(HitScores(request_rows, chamber), HitShapes(chamber), HitPerformance()),
        keep=("Hit_*", "Particle_*"),
        models=MODELS,
        chunk_size=1,
    )


def _by_plane(events: ak.Array, chamber: Chamber) -> Iterator[tuple[np.ndarray, Ints, Floats, Ints]]:
    """Go through the planes of events: the image, wires and samples of its hits, and their places in the chunk."""
    first = 0
    for event in events:
        plane, wire, sample = (np.asarray(event[name]) for name in HITS)
        known = usable(plane, wire, sample, chamber)
        pixels = Pixels(*(np.asarray(event[name]) for name in PIXELS))
        for number, image in enumerate(images(pixels, chamber)):
            mine = np.flatnonzero(known & (plane == number))
            yield image, wire[mine], sample[mine], first + mine
        first += len(plane)


def _usable(events: ak.Array, chamber: Chamber) -> np.ndarray:
    plane, wire, sample = (_flat(events[name]) for name in HITS)
    return usable(plane, wire, sample, chamber)


def _part(event: ak.Record) -> int:
    """Deal an event out by what is in it, so that its part depends on no other event, chunk or process."""
    return crc32(np.asarray(event[TRUTH[0]], np.int64).tobytes()) % _PARTS


def _truth(events: ak.Array) -> tuple[Ints, np.ndarray]:
    """Return the true kind of each hit of a chunk, and whether it is of a Michel electron."""
    kinds, michel = [np.empty(0, np.int64)], [np.empty(0, bool)]
    for event in events:
        whose, kind, one = (np.asarray(event[name]) for name in TRUTH)
        known = (whose >= 0) & (whose < len(kind))
        number = np.where(known, whose, len(kind))
        kinds.append(np.append(kind, NONE)[number].astype(np.int64))
        michel.append(np.append(one, False)[number].astype(bool))
    return np.concatenate(kinds), np.concatenate(michel)


def _flat(column: ak.Array) -> np.ndarray:
    return np.asarray(ak.flatten(column))
