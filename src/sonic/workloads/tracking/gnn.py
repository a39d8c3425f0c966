"""The workflow ``tracking-gnn``: graphs of hits, whose edges a network scores as a service, and tracks of those.

It reads and writes what the workflow ``tracking`` does; what finds the tracks is all that differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.framework import Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.graphs import SCALES, Graph, build, union
from sonic.workloads.tracking.outliers import without_outliers
from sonic.workloads.tracking.paths import paths
from sonic.workloads.tracking.sample import HITS
from sonic.workloads.tracking.workflow import TrackFit, TrackingPerformance, arrays, track_hits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework.module import Columns

CHUNK_SIZE = 10
"""Events whose graphs make one request."""


class GraphBuilder(Producer):
    """Hits that a particle may have left one after another, joined."""

    name = "graph_builder"
    consumes = HITS
    produces = ("Graph_features", "Graph_start", "Graph_end")

    def produce(self, events: ak.Array) -> Columns:
        """Build the graph of each event: features of its hits, and the numbers of those that its edges join."""
        graphs = []
        for event in events:
            layer, phi, z_mm = arrays(event, HITS)
            graphs.append(build(layer, phi, z_mm))
        features = np.concatenate([np.empty((0, len(SCALES)), np.float32), *(graph.hits for graph in graphs)])
        edges = np.concatenate([np.empty((2, 0), np.int64), *(graph.edges for graph in graphs)], axis=1)
        hits, counts = (
            np.array([(len(graph.hits), graph.edges.shape[1]) for graph in graphs], np.int64).reshape(-1, 2).T
        )
        return {
            "Graph_features": ak.unflatten(ak.from_regular(ak.Array(features)), hits),
            "Graph_start": ak.unflatten(edges[0], counts),
            "Graph_end": ak.unflatten(edges[1], counts),
        }


class EdgeScores(Offload):
    """Probabilities that edges join hits of one particle, by the network: the graphs of a chunk in one request."""

    name = "edge_scores"
    model = "trackgnn"
    consumes = GraphBuilder.produces
    produces = ("Graph_score",)

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Put the graphs of the chunk side by side."""
        whole = union([_graph(event) for event in events])
        return whole._asdict() if whole.edges.shape[1] else {}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give the edges their scores."""
        return {"Graph_score": ak.unflatten(outputs.get("scores", np.empty(0, np.float32)), ak.num(events.Graph_start))}


class GraphTracks(Producer):
    """Hits of tracks: the best ways through the scored graphs, without hits that spoil the fit."""

    name = "graph_tracks"
    consumes = (*HITS, *GraphBuilder.produces[1:], "Graph_score")
    produces = ("Track_hits",)

    def produce(self, events: ak.Array) -> Columns:
        """Find the tracks of each event."""
        found = []
        for event in events:
            layer, phi, z_mm, start, end, scores = arrays(event, self.consumes)
            ways = paths(layer, np.stack([start, end]), scores, len(BARREL))
            found.append(without_outliers(ways, phi, z_mm))
        return {"Track_hits": track_hits(found)}


def workflow() -> Workflow:
    """Return the workflow ``tracking-gnn``."""
    return Workflow(
        name="tracking-gnn",
        modules=(GraphBuilder(), EdgeScores(), GraphTracks(), TrackFit(), TrackingPerformance()),
        keep=(*TrackFit.produces, "Particle_*"),
        models=MODELS,
        chunk_size=CHUNK_SIZE,
    )


def _graph(event: ak.Record) -> Graph:
    start, end = arrays(event, GraphBuilder.produces[1:])
    hits = np.asarray(ak.to_regular(event.Graph_features, axis=None)).reshape(-1, len(SCALES))
    return Graph(hits, np.stack([start, end]))
