from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.tracking.graphs import SCALES, build  # noqa: E402
from sonic.workloads.training import trackgnn  # noqa: E402
from sonic.workloads.training.trackgnn import DEFAULTS, FINDERS, evaluate, sample, simulate, train, turned  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(DEFAULTS, events=2, epochs=2, batch=1, width=0.1, device="cpu", cores=1)


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(autouse=True)
def few_particles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackgnn, "PARTICLES", (40, 90))
    monkeypatch.setattr(trackgnn, "JETS", 1)
    monkeypatch.setattr(trackgnn, "WEDGE", 15)
    monkeypatch.setattr(trackgnn, "texts", lambda _: {})


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    network, metrics = train(TINY, tmp_path, lambda *step: told.append(step))
    assert not network.training
    assert {stage for stage, _, _ in told} == {"events", "training", "test"}
    assert metrics["losses"][1] < metrics["losses"][0]
    assert metrics["train_events"] == metrics["test_events"] == 2
    assert list(metrics["particles"]) == ["40", "90"]
    for row in metrics["particles"].values():
        assert set(row) == {"edge_efficiency", "edge_purity", *FINDERS}
        assert row["finder"]["efficiency"] > 0.9
        assert row["unscored"]["fake_rate"] < 0.2
    for row in metrics["jet_cores"].values():
        assert row["finder"] > 0.9
    again, known = train(TINY, tmp_path, quiet)
    assert known["losses"] == metrics["losses"]
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_wedges_hold_every_hit_once() -> None:
    graphs, labels = sample(replace(TINY, events=2), quiet)
    assert len(graphs) == len(labels) == (40 + 12) // 15 + (90 + 12) // 15
    made = [simulate(number, TINY.seed, "train", trackgnn.JETS) for number in range(2)]
    assert sum(len(graph.hits) for graph in graphs) == sum(map(len, made))
    for graph, label in zip(graphs, labels, strict=True):
        assert label.shape == graph.edges.shape[1:]
        assert label.dtype == np.float32
        assert 0.3 < label.mean() <= 1
    first = graphs[0].hits[:, 1]
    assert first.max() <= -1 / 3  # a third of the first event


def test_a_turned_event_has_the_same_edges() -> None:
    made = simulate(0, 1, "train", 0)
    graph = build(made.layer, made.phi, made.z_mm)
    torch.manual_seed(1)
    hits = turned(torch.from_numpy(graph.hits))
    assert not torch.allclose(hits[:, 1], torch.from_numpy(graph.hits[:, 1]))
    r, phi, z_mm = hits.double().numpy().T * np.array(SCALES)[:, None]
    assert np.allclose(r, graph.hits[:, 0] * SCALES[0])
    assert np.abs(phi).max() <= np.pi * (1 + 1e-6)
    again = build(made.layer, phi, z_mm).edges
    shared = {tuple(edge) for edge in again.T.tolist()} & {tuple(edge) for edge in graph.edges.T.tolist()}
    assert len(shared) > 0.98 * graph.edges.shape[1]  # but for rounding


def test_figures_are_of_other_events_than_training() -> None:
    assert not np.array_equal(simulate(0, 1, "train", 0).phi, simulate(0, 1, "test", 0).phi)

    def all_bad(hits: Any, edges: Any) -> Any:
        return torch.zeros(edges.shape[1])

    figures = evaluate(all_bad, 1, 1, quiet)
    found = figures["particles"]["40"]
    assert found["network"] == {"efficiency": 0.0, "fake_rate": None}
    assert found["edge_purity"] is None
    assert figures["jet_cores"]["40"]["network"] == 0
    assert found["unscored"]["efficiency"] > 0.9
