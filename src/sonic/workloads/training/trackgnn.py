"""Train the graph network for tracking to tell edges of one particle from others, on simulated events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from sonic.workloads.networks.trackgnn import TrackGNN, TrackGNNConfig
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.graphs import build, tracks, truth, union
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.paths import THRESHOLD, paths
from sonic.workloads.tracking.simulation import Beam, event
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.progress import Progress
    from sonic.workloads.tracking.graphs import Graph
    from sonic.workloads.tracking.simulation import Event

DEFAULTS = Recipe(events=40, seed=1, epochs=5, batch=1, learning_rate=3e-3, width=1.0, device="auto", cores=0)
PARTICLES = (300, 1000, 2000, 3000)
"""Of the events by turns: 3,000 to 30,000 hits."""
JETS = 10
"""Of each event that is trained on, so that crowds within a crowd are not rare."""
WEDGE = 150
"""Particles of an event that is cut no further."""
FINDERS = ("network", "unscored", "components", "finder")


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[TrackGNN, dict[str, Any]]:
    """Simulate events, train on their graphs and test on others.

    Parameters
    ----------
    recipe : Recipe
        Resolved; its batch is events.
    folder : Path
        For the checkpoint.
    progress : callable of (stage, done, total)

    Returns
    -------
    network : TrackGNN
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of events and edges, losses, and by the particles of an event what was found in the test events, beside
        what the combinatorial finder found; see :func:`evaluate`.
    """
    graphs, labels = sample(recipe, progress)

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        batch = union([graphs[i] for i in chosen])
        wanted = torch.from_numpy(np.concatenate([labels[i] for i in chosen])).to(recipe.device)
        hits, edges = turned(torch.from_numpy(batch.hits)).to(recipe.device), torch.from_numpy(batch.edges)
        logits = network(hits, edges.to(recipe.device))
        return functional.binary_cross_entropy_with_logits(logits, wanted)

    with deterministic(recipe):
        network = TrackGNN(TrackGNNConfig().times(recipe.width)).to(recipe.device)
        losses, seconds = fit(network, loss_of, len(graphs), recipe, folder / "checkpoint.pt", progress)
    network = network.cpu()
    test = max(len(PARTICLES), recipe.events // 5)
    metrics = {
        "train_events": recipe.events,
        "train_graphs": len(graphs),
        "train_edges": sum(len(each) for each in labels),
        "test_events": test,
        "losses": losses,
        "training_s": seconds,
    }
    metrics |= evaluate(network, test, recipe.seed, progress)
    return network, metrics | texts(metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what the metrics say."""
    ours, cores = metrics["particles"]["1000"]["network"], metrics["jet_cores"]["1000"]
    return {
        "figure": f"efficiency {ours['efficiency']:.3f}, fakes {ours['fake_rate']:.3f} at 1,000 particles",
        "data": f"{metrics['train_events']} simulated events of {PARTICLES[0]} to {PARTICLES[-1]:,} particles, and "
        f"{JETS} jets each, in a barrel of ten layers, 98 % of the hits there, 5 % of noise",
        "limits": f"In the cores of jets it finds {cores['network']:.2f} of the particles, the combinatorial finder "
        f"{cores['finder']:.2f}. Edges must have been selected by sonic.workloads.tracking.graphs; other detectors, "
        "fields and spectra need a training of their own",
    }


def sample(recipe: Recipe, progress: Progress) -> tuple[list[Graph], list[NDArray[np.float32]]]:
    """Simulate events to train on, in wedges with the hits of about :data:`WEDGE` particles.

    A wedge of a crowded event is as crowded as the whole, at a fraction of its edges.

    Returns
    -------
    graphs : list of Graph
        Those without an edge are left out.
    labels : list of float32 array [edges]
        1 where both hits are from one particle.
    """
    graphs, labels = [], []
    for number in range(recipe.events):
        made = simulate(number, recipe.seed, "train", JETS)
        wedges = max(1, made.tracks.shape[1] // WEDGE)
        place = np.minimum(((made.phi + np.pi) / (2 * np.pi) * wedges).astype(np.int64), wedges - 1)
        for wedge in range(wedges):
            inside = place == wedge
            graph = build(made.layer[inside], made.phi[inside], made.z_mm[inside])
            if graph.edges.shape[1]:
                graphs.append(graph)
                labels.append(truth(graph.edges, made.particle[inside]).astype(np.float32))
        progress("events", number + 1, recipe.events)
    return graphs, labels


def simulate(number: int, seed: int, role: str, jets: int) -> Event:
    """Simulate an event of the sample for training or for the test."""
    random = np.random.default_rng((seed, 4, role == "test", jets, number))
    return event(Beam(particles=PARTICLES[number % len(PARTICLES)], jets=jets), random)


def turned(hits: Tensor) -> Tensor:
    """Turn an event about the beam line by a random angle, and mirror it at random: one that could be as well.

    Parameters
    ----------
    hits : float32 tensor [hits, 3]
        As of :func:`sonic.workloads.tracking.graphs.build`.
    """
    angle, swap, flip = torch.rand(3)
    phi = hits[:, 1] * torch.where(swap < 0.5, -1.0, 1.0) + 2 * angle
    z = hits[:, 2] * torch.where(flip < 0.5, -1.0, 1.0)
    return torch.stack((hits[:, 0], torch.remainder(phi + 1, 2) - 1, z), dim=1)


@torch.no_grad()
def predict(network: nn.Module, graph: Graph) -> NDArray[np.float64]:
    """Return the scores of an event's edges."""
    scores = network(torch.from_numpy(graph.hits), torch.from_numpy(graph.edges))
    return np.asarray(scores, np.float64)


def evaluate(network: nn.Module, events: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Find tracks in events of their own: without jets, and with them.

    Returns
    -------
    dict
        ``particles``: by their number in events without jets, ``edge_efficiency`` and ``edge_purity`` of what is above
        the cut, and ``efficiency`` and ``fake_rate`` of tracks by the network, by its graphs with all edges alike
        (``unscored``), by connected components, and by the combinatorial finder. ``jet_cores``: efficiencies for the
        particles of jets, likewise.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    cores: dict[int, list[dict[str, Any]]] = {}
    for number in range(events):
        for jets, kept in ((0, found), (JETS, cores)):
            made = simulate(number, seed, "test", jets)
            kept.setdefault(PARTICLES[number % len(PARTICLES)], []).append(_found(network, made))
        progress("test", number + 1, events)
    return {
        "particles": {str(particles): _figures(rows) for particles, rows in sorted(found.items())},
        "jet_cores": {str(particles): _in_jets(rows, particles) for particles, rows in sorted(cores.items())},
    }


def _found(network: nn.Module, made: Event) -> dict[str, Any]:
    graph = build(made.layer, made.phi, made.z_mm)
    scores, labels = predict(network, graph), truth(graph.edges, made.particle)
    candidates = {
        "network": paths(made.layer, graph.edges, scores, len(BARREL)),
        "unscored": paths(made.layer, graph.edges, np.full(len(scores), 0.75), len(BARREL)),
        "components": tracks(graph.edges, scores, len(made)),
        "finder": find(made.layer, made.phi, made.z_mm).hits,
    }
    row: dict[str, Any] = {name: match(made, hits) for name, hits in candidates.items()}
    row["edges"] = np.array([(labels & (scores > THRESHOLD)).sum(), labels.sum(), (scores > THRESHOLD).sum()])
    return row


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    both, true, good = np.sum([row["edges"] for row in rows], axis=0)
    figures: dict[str, Any] = {"edge_efficiency": _ratio(both, true), "edge_purity": _ratio(both, good)}
    for name in FINDERS:
        counts = np.sum([row[name].counts for row in rows], axis=0)
        figures[name] = {"efficiency": _ratio(*counts[:2]), "fake_rate": _ratio(*counts[2:])}
    return figures


def _in_jets(rows: list[dict[str, Any]], others: int) -> dict[str, float | None]:
    efficiencies = {}
    for name in FINDERS:
        findable = np.concatenate([row[name].findable[others:] for row in rows])
        efficiencies[name] = _ratio(
            np.concatenate([row[name].found[others:] for row in rows])[findable].sum(), findable.sum()
        )
    return efficiencies


def _ratio(part: Any, whole: Any) -> float | None:
    return round(float(part / whole), 4) if whole else None
