"""The workflow ``hgcal``: showers from hits by GravNet, which is offloaded, beside the clustering by density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hist
import numpy as np

from sonic.errors import WorkflowError
from sonic.framework import Analyzer, Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.eventfile import listed
from sonic.workloads.hgcal import condensation, density
from sonic.workloads.hgcal.energy import measure
from sonic.workloads.hgcal.features import inputs
from sonic.workloads.hgcal.figures import outcome, total
from sonic.workloads.hgcal.hits import Hits
from sonic.workloads.hgcal.sample import HITS, TRUTH, read_event
from sonic.workloads.uncertainties import central_of_histogram, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    import awkward as ak

    from sonic.framework.module import Columns, JobInfo
    from sonic.workloads.hgcal.detector import Bools, Ints
    from sonic.workloads.hgcal.figures import Outcome

_PARTS = ("energy", "x", "y", "layer", "hadronic", "hits")
_TYPES = (np.float64, np.float64, np.float64, np.float64, np.bool_, np.int32)
_COUNTED = ("showers", "found", "merged", "clusters", "fakes")
_SHOWN = (("GravNet", "Hit_cluster"), ("density", "Hit_density"))


def _products(prefix: str, label: str) -> tuple[str, ...]:
    return (*(f"{prefix}_{part}" for part in _PARTS), label)


class DensityClusters(Producer):
    """Showers by the density of their hits, the ordinary way."""

    name = "density"
    consumes = HITS
    produces = _products("DensityCluster", "Hit_density")

    def begin_job(self, job: JobInfo) -> None:  # noqa: ARG002
        """Find out whether the clustering can be done before there is anything to cluster."""
        density.search_tree()

    def produce(self, events: ak.Array) -> Columns:
        """Group the hits of each event."""
        made = [_hits(row) for row in events]
        return _columns(self.produces, made, [density.clusters(hits) for hits, _ in made])


class GravNetClusters(Offload):
    """Showers by GravNet with object condensation: the hits of one event in a request."""

    name = "gravnet"
    model = "gravnet-oc"
    consumes = HITS
    produces = _products("Cluster", "Hit_cluster")

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Describe the hits.

        Raises
        ------
        WorkflowError
            If there are several events: the network would take them for one.
        """
        if len(events) > 1:
            raise WorkflowError(f"a request of gravnet-oc has one event: expected chunks of 1, given {len(events)}")
        return {"hits": inputs(_hits(events[0])[0])} if len(events) else {}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Group the hits by what the network says of them."""
        made = [_hits(row) for row in events]
        labels = [condensation.clusters(outputs["beta"], outputs["coordinates"]) for _ in made]
        return _columns(self.produces, made, labels)


class ShowerPerformance(Analyzer):
    """Efficiency, fakes and response of both, where the file has the truth."""

    name = "shower_performance"
    consumes = (*HITS, *(label for _, label in _SHOWN))
    optional = TRUTH

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Count, and fill a histogram of responses."""
        if not set(TRUTH) <= set(events.fields):
            return {}
        found: dict[str, Any] = {}
        rows = [read_event(row) for row in events]
        for name, label in _SHOWN:
            of = total(outcome(made, np.asarray(row[label])) for made, row in zip(rows, events, strict=True))
            found |= {f"{name}, {what}": value for what, value in _counts(of).items()}
            filled: Any = hist.Hist(
                hist.axis.Regular(400, 0.0, 4.0, name="response", label="found over true energy"),
                hist.axis.Boolean(name="hadron"),
            )
            there = np.isfinite(of.response)
            found[name] = filled.fill(response=of.response[there], hadron=of.hadron[there])
        return found

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Efficiency, rates of fakes and mergers, response and resolution, of each clustering."""
        rows: dict[str, float | int | str] = {}
        for name, _ in _SHOWN if total else ():
            of = {what: total[f"{name}, {what}"] for what in _COUNTED}
            rows[f"{name}, showers found"] = f"{of['found']} of {of['showers']}"
            rows[f"{name}, efficiency"] = share(of["found"], of["showers"])
            rows[f"{name}, merged"] = share(of["merged"], of["showers"])
            rows[f"{name}, fake rate"] = share(of["fakes"], of["clusters"])
            for kind, hadron in (("electromagnetic", False), ("hadronic", True)):
                counts = total[name][:, hist.loc(hadron)]
                response = central_of_histogram(counts.values(flow=True), counts.axes[0].edges)
                rows[f"{name}, {kind} response"] = response.median
                rows[f"{name}, {kind} resolution"] = response.relative
        return rows


def workflow() -> Workflow:
    """Return the workflow ``hgcal``."""
    return Workflow(
        name="hgcal",
        modules=(GravNetClusters(), DensityClusters(), ShowerPerformance()),
        keep=(*GravNetClusters.produces, *DensityClusters.produces, "Particle_*"),
        models=MODELS,
        chunk_size=1,
    )


def _hits(row: ak.Record) -> tuple[Hits, Bools]:
    """Return the usable hits of an event, and which of all these are."""
    hits = Hits(*(np.asarray(row[name]) for name in HITS))
    there = hits.usable()
    return hits.chosen(there), there


def _columns(names: tuple[str, ...], made: list[tuple[Hits, Bools]], labels: list[Ints]) -> Columns:
    """Make columns of the clusters of events, and of the number of each hit's; -1 for one that could not be used."""
    clusters = [measure(label, hits) for label, (hits, _) in zip(labels, made, strict=True)]
    columns: dict[str, ak.Array] = {}
    for i, (name, kind) in enumerate(zip(names[:-1], _TYPES, strict=True)):
        columns[name] = listed([each[i] for each in clusters], kind)
    of_hits = []
    for label, (_, there) in zip(labels, made, strict=True):
        of_hits.append(np.full(len(there), -1))
        of_hits[-1][there] = label
    columns[names[-1]] = listed(of_hits, np.int32)
    return columns


def _counts(of: Outcome) -> dict[str, int]:
    values = (len(of.found), int(of.found.sum()), int(of.merged.sum()), of.clusters, of.fakes)
    return dict(zip(_COUNTED, values, strict=True))
