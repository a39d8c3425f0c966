"""Showers in the endcap calorimeter: an event, and what GravNet and the clustering by density find."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import onnxruntime

from sonic.workloads import MODELS
from sonic.workloads.hgcal import condensation, density, plots
from sonic.workloads.hgcal.features import inputs
from sonic.workloads.hgcal.figures import DISTANCES_CM, ENERGIES_GEV, in_bins, outcome, total
from sonic.workloads.hgcal.simulation import Beam, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from sonic.workloads.hgcal.detector import Ints
    from sonic.workloads.hgcal.figures import Outcome
    from sonic.workloads.hgcal.hits import Hits

_EVENTS, _EVENT_SEED = 400, 43


@cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = MODELS / "gravnet-oc" / "1" / "model.onnx"
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _gravnet(hits: Hits) -> Ints:
    return condensation.clusters(*_session().run(["beta", "coordinates"], {"hits": inputs(hits)}))


@cache
def _outcomes() -> dict[str, Outcome]:
    made = events(_EVENTS, seed=77)
    ways: dict[str, Callable[[Hits], Ints]] = {"GravNet": _gravnet, "density": density.clusters}
    found = {name: total(outcome(each, way(each.hits)) for each in made) for name, way in ways.items()}
    return found | {"truth": total(outcome(each, each.shower) for each in made)}


def event() -> Figure:
    """Draw the hits of an event, coloured by the truth, by the clustering by density and by GravNet."""
    (made,) = events(1, Beam(5, 5, energy_power=1.0), seed=_EVENT_SEED)
    labels = {"truth": made.shower, "density": density.clusters(made.hits), "GravNet": _gravnet(made.hits)}
    return plots.event_display(made.hits, labels)


def efficiency() -> Figure:
    """Draw efficiencies by energy and by the distance of showers."""
    found = {name: each for name, each in _outcomes().items() if name != "truth"}
    return plots.efficiencies(
        {
            name: (in_bins(of.true_gev, ENERGIES_GEV, of), in_bins(of.distance_cm, DISTANCES_CM, of))
            for name, of in found.items()
        }
    )


def response() -> Figure:
    """Draw response and resolution by energy."""
    curves = {}
    for name, found in _outcomes().items():
        kinds = [found.chosen(which) for which in (~found.hadron, found.hadron)]
        curves[name] = tuple(in_bins(of.true_gev, ENERGIES_GEV, of) for of in kinds)
    return plots.responses({name: (both[0], both[1]) for name, both in curves.items()})


PICTURES: dict[str, Callable[[], Figure]] = {
    "hgcal-event": event,
    "hgcal-efficiency": efficiency,
    "hgcal-response": response,
}
