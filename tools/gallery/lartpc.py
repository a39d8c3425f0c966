"""Liquid argon: an event, what the network sees, and what it gives."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import sonic
from sonic.errors import ConfigError
from sonic.framework.module import add
from sonic.workloads import MODELS, plots
from sonic.workloads.figures import roc
from sonic.workloads.lartpc import linearity
from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.particles import EM, KINDS, NONE, TRACK
from sonic.workloads.lartpc.patches import cut, images
from sonic.workloads.lartpc.performance import sums
from sonic.workloads.lartpc.plots import event_display, particle_scores, patch_gallery, score_histograms
from sonic.workloads.lartpc.simulation import events
from sonic.workloads.lartpc.stored import average
from sonic.workloads.lartpc.stored import particle_scores as stored_scores
from sonic.workloads.lartpc.workflow import michel_cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.simulation import Event

_SHOWN, _SEED, _NUMBER = 0, 8, 8


class Scored(NamedTuple):
    """An event, and what the network and the ordinary algorithm say of each hit."""

    event: Event
    kinds: NDArray[np.float32]
    michel: NDArray[np.float32]
    straightness: NDArray[np.float64]
    ordinary: NDArray[np.int64]


@cache
def sample() -> tuple[Scored, ...]:
    """Simulate events, and have their hits told apart."""
    with sonic.Model(f"local:{MODELS}/emtrackmichel") as model:
        return tuple(_scored(event, model) for event in events(_NUMBER, seed=_SEED))


def event() -> Figure:
    """Charge on the plane that collects, and its hits by truth, by the network and by straightness."""
    made = sample()[_SHOWN]
    found = made.kinds.argmax(axis=1)
    nobody = np.zeros(len(found), bool)
    return event_display(
        made.event.pixels,
        made.event.hits,
        {
            "truth": (made.event.kind, made.event.michel),
            "network": (found, made.michel > michel_cut()),
            "straightness": (made.ordinary, nobody),
        },
    )


def patches() -> Figure:
    """Patches of a hit of each kind, in the plane that collects."""
    made = sample()[_SHOWN].event
    *_, image = images(made.pixels, PROTODUNE)
    wanted = {
        "track": (made.kind == TRACK),
        "shower": (made.kind == EM) & ~made.michel & (made.hits.charge_ke > 30),
        "Michel electron": made.michel,
        "noise": made.kind == NONE,
    }
    chosen = [np.flatnonzero(which & (made.hits.plane == 2)) for which in wanted.values()]
    hits = np.array([there[len(there) // 2] for there in chosen])
    return patch_gallery(cut(image, made.hits.wire[hits], made.hits.sample[hits]), list(wanted))


def scores() -> Figure:
    """Distributions of the scores by what the hits are."""
    total = None
    for made in sample():
        kind, michel = made.event.kind, made.event.michel
        part = sums(kind, michel, made.kinds, made.michel, made.straightness, made.ordinary)
        total = part if total is None else add(total, part)
    return score_histograms(total)


def separation() -> Figure:
    """How many hits of showers pass where so many of tracks do."""
    kind = np.concatenate([made.event.kind for made in sample()])
    by = {
        "EmTrackMichel": np.concatenate([made.kinds[:, TRACK] for made in sample()]),
        "straightness": np.concatenate([made.straightness for made in sample()]),
    }
    curves = {label: roc(values[kind == TRACK], values[kind == EM]) for label, values in by.items()}
    return plots.roc_curves(curves, "hits of tracks, against those of showers")


def particles() -> Figure:
    """Scores averaged over particles, beside those in an analysis file of ProtoDUNE.

    Raises
    ------
    ConfigError
        If that file is not there.
    """
    folder = os.environ.get("SONIC_SHARED")
    if folder is None:
        raise ConfigError("set SONIC_SHARED to the folder that has data/pduneana.root")
    rows = []
    for made in sample():
        by_name = dict(zip(KINDS, made.kinds.T, strict=True)) | {"michel": made.michel}
        rows.append(average(by_name, made.event.particle))
    ours = type(rows[0])._make(np.concatenate(columns) for columns in zip(*rows, strict=True))
    seen = ours.hits >= 5
    ours = type(ours)._make(column[seen] for column in ours)
    return particle_scores(
        {"ours, simulated": ours, "stored by ProtoDUNE": stored_scores(f"{folder}/data/pduneana.root")}
    )


def _scored(made: Event, model: sonic.Model) -> Scored:
    number = len(made.kind)
    kinds, michel = np.empty((number, len(KINDS)), np.float32), np.empty(number, np.float32)
    straightness, ordinary = np.empty(number), np.empty(number, np.int64)
    for plane, image in enumerate(images(made.pixels, PROTODUNE)):
        mine = np.flatnonzero(made.hits.plane == plane)
        wire, at = made.hits.wire[mine], made.hits.sample[mine]
        outputs = model(main_input=cut(image, wire, at))
        kinds[mine], michel[mine] = outputs["em_trk_none_netout"], outputs["michel_netout"][:, 0]
        line = linearity.shape(image, wire, at)
        straightness[mine], ordinary[mine] = line.straightness, line.kind()
    return Scored(made, kinds, michel, straightness, ordinary)


PICTURES: dict[str, Callable[[], Figure]] = {
    "protodune-event": event,
    "protodune-patches": patches,
    "protodune-scores": scores,
    "protodune-separation": separation,
    "protodune-particles": particles,
}
