"""The workflow ``tracking``: hits to tracks, whose fit is offloaded, compared with the truth where the file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.framework import Analyzer, Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import candidates, passed, points
from sonic.workloads.tracking.helix import NAMES, PHI, QPT
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.sample import HITS, OWNER, PARTS, TRUTH
from sonic.workloads.tracking.simulation import Event
from sonic.workloads.uncertainties import deviation, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sonic.framework.module import Columns
    from sonic.workloads.tracking.detector import Floats
    from sonic.workloads.tracking.simulation import Ints

_FITTED = tuple(f"Track_{part}" for part in PARTS)
_ERRORS = tuple(f"Track_{part}Error" for part in PARTS)
_MAX_PULL = 6.0
"""Of q/pT: a track beyond it has hits of others, and would alone set the width of the pulls."""
_POWERS = 5


class TrackFinder(Producer):
    """Hits of tracks, by the combinatorial Kalman filter."""

    name = "finder"
    consumes = HITS
    produces = ("Track_hits",)

    def produce(self, events: ak.Array) -> Columns:
        """Find the tracks of each event; numbers of their hits, a place a layer, -1 where there is none."""
        found = []
        for event in events:
            layer, phi, z_mm = arrays(event, HITS)
            found.append(candidates(layer, phi, z_mm))
        return {"Track_hits": track_hits(found)}


class TrackFit(Offload):
    """Parameters of tracks, by the Kalman filter: all tracks of a chunk in one request."""

    name = "fit"
    model = "track_fit"
    consumes = (*HITS, "Track_hits")
    produces = (*_FITTED, *_ERRORS, "Track_chi2", "Track_good")
    allow_nonfinite = True

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Collect the hits of the tracks."""
        made = [np.empty((0, len(BARREL), 2))]
        for event in events:
            _, phi, z_mm = arrays(event, HITS)
            made.append(points(_tracks(event), phi, z_mm))
        return {"hits": np.concatenate(made)}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give the tracks their parameters; good are those whose chi2 is what their hits can give."""
        counts = ak.num(events.Track_hits)
        parameters = outputs["parameters"]
        errors = np.sqrt(np.diagonal(outputs["covariance"], axis1=1, axis2=2))
        chi2 = outputs["chi2"]
        good = passed(outputs["good"], chi2, outputs["degrees_of_freedom"])
        columns = dict(zip((*_FITTED, *_ERRORS), (*parameters.T, *errors.T), strict=True))
        columns |= {"Track_chi2": chi2, "Track_good": good}
        return {name: ak.unflatten(column, counts) for name, column in columns.items()}


class TrackingPerformance(Analyzer):
    """Efficiency, fakes and pulls, where the file has the truth."""

    name = "tracking_performance"
    consumes = ("Track_hits", *TrackFit.produces)
    optional = (OWNER, *HITS, *TRUTH)

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Count, and sum the pulls of the tracks of particles."""
        sums: dict[str, Any] = {"counts": np.zeros(4, np.int64), "pulls": np.zeros((_POWERS, len(PARTS))), "matched": 0}
        if not {OWNER, *TRUTH} <= set(events.fields):
            return sums
        for event in events:
            good = np.asarray(event.Track_good, bool)
            truth = np.stack(arrays(event, TRUTH))
            layer, phi, z_mm, particle = arrays(event, (*HITS, OWNER))
            matched = match(Event(layer, phi, z_mm, particle, truth), _tracks(event)[good])
            real = matched.particle >= 0
            fitted, errors = (np.stack(arrays(event, names))[:, good][:, real] for names in (_FITTED, _ERRORS))
            sums["counts"] += matched.counts
            sums["pulls"] += _moments(fitted - truth[:, matched.particle[real]], errors)
            sums["matched"] += int(real.sum())
        return sums

    def summarize(self, total: Any) -> Mapping[str, float | int | str]:
        """Efficiency, fake rate, widths of the pulls and the share of the tracks of particles that these leave out."""
        found, findable, fakes, tracks = map(int, total["counts"])
        rows: dict[str, float | int | str] = {"tracks": tracks} if findable or tracks else {}
        if findable:
            rows["efficiency"] = share(found, findable)
        if tracks:
            rows["fake rate"] = share(fakes, tracks)
        if not total["matched"]:
            return rows
        for name, moments in zip(NAMES, total["pulls"].T, strict=True):
            rows[f"pull width, {name}"] = deviation(moments)
        left_out = total["matched"] - int(total["pulls"][0, QPT])
        return rows | {f"left out of these, pull of q/pT above {_MAX_PULL:g}": share(left_out, total["matched"])}


def workflow() -> Workflow:
    """Return the workflow ``tracking``."""
    return Workflow(
        name="tracking",
        modules=(TrackFinder(), TrackFit(), TrackingPerformance()),
        keep=(*TrackFit.produces, "Particle_*"),
        models=MODELS,
    )


def _moments(difference: Floats, errors: Floats) -> Floats:
    """Return the sums of the powers 0 to 4 of the pulls of each parameter; float array [5, 5]."""
    difference[PHI] = wrap(difference[PHI])
    pulls = difference / errors
    inside = np.abs(pulls[QPT]) < _MAX_PULL
    return np.stack([(pulls[:, inside] ** power).sum(axis=1) for power in range(_POWERS)])


def track_hits(found: Sequence[Ints]) -> ak.Array:
    """Return the tracks of events [tracks, layers] as a column."""
    flat = np.concatenate([np.empty((0, len(BARREL)), np.int64), *found])
    return ak.unflatten(ak.from_regular(ak.Array(flat)), np.array([len(hits) for hits in found], np.int64))


def arrays(event: ak.Record, names: Iterable[str]) -> list[np.ndarray]:
    """Return branches of an event as arrays."""
    return [np.asarray(event[name]) for name in names]


def _tracks(event: ak.Record) -> np.ndarray:
    return np.asarray(ak.to_regular(event.Track_hits, axis=None)).reshape(-1, len(BARREL))
