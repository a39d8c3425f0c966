"""The trigger path: an event, and what its modules take of the time."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

import sonic
from sonic.client.fallback import ServeProcess
from sonic.workloads.hlt import plots
from sonic.workloads.hlt.jets import towers_of
from sonic.workloads.hlt.local import FIT
from sonic.workloads.hlt.sample import generate
from sonic.workloads.hlt.shares import path_ms
from sonic.workloads.hlt.ways import WAYS, run_ways
from sonic.workloads.hlt.workflow import workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_EVENTS, _SEED, _RUNS = 10, 1, 5
_TRACK = ("qOverPt", "phi", "cotTheta", "good")


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the sample, which goes with the process."""
    return tempfile.TemporaryDirectory()


@cache
def sample() -> Path:
    """Pairs of top quarks, with 50 collisions of pile-up."""
    file = Path(folder().name) / "events.root"
    generate(file, _EVENTS, _SEED)
    return file


def event() -> Figure:
    """Draw the event whose jets look most like b jets."""
    found = Path(folder().name) / "found.parquet"
    keep = ("Tower_energy", "Jet_*", *(f"Track_{part}" for part in _TRACK))
    sonic.run(workflow(), [sample()], found, mode="direct", threads=1, keep=keep, filter_output="pass")
    events = ak.from_parquet(found)
    shown = events[int(ak.argmax(ak.sum(np.maximum(events.Jet_sonicB, 0), axis=1)))]
    parts = [np.asarray(shown[f"Jet_{part}"], np.float64) for part in ("pt", "eta", "phi", "sonicB")]
    curvature, phi, cot, good = (np.asarray(shown[f"Track_{part}"]) for part in _TRACK)
    tracks = np.arcsinh(cot[good]), phi[good], 1 / np.abs(curvature[good])
    return plots.event_display(towers_of(shown), plots.DrawnJets(*parts), *tracks)


def times() -> Figure:
    """Run the path in all ways, over the same events; medians of some runs, as other work may come between."""
    networks = {name: way for name, way in WAYS.items() if way.hcal != FIT}
    fit = {name: way for name, way in WAYS.items() if way.hcal == FIT}
    with ServeProcess([workflow().models]) as server:
        _, *runs = [run_ways(sample(), server.grpc_url, networks) for _ in range(1 + _RUNS)]  # the first loads models
        reports = run_ways(sample(), server.grpc_url, fit)
    drawn = {name: path_ms(report) for name, report in reports.items()}
    for name in networks:
        rows = [path_ms(run[name]) for run in runs]
        drawn[name] = {module: median(row[module] for row in rows) for module in rows[0]}
    return plots.time_shares(drawn)


PICTURES: dict[str, Callable[[], Figure]] = {"hlt-event": event, "hlt-times": times}
