"""The chain of Exa.TrkX from its graph on, by its own network, against the reference outputs that came with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.workloads.tracking.graphs import components, tracks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    folder = shared_data / "data" / "exatrkx"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture(scope="module")
def hits(data: Path) -> np.ndarray:
    return np.loadtxt(data / "in_e1000.csv", delimiter=",", dtype=np.float32, ndmin=2)[:, :3]


def _load(data: Path, name: str) -> np.ndarray:
    return np.loadtxt(data / "reference" / f"{name}.csv", delimiter=",")


def _same_parts(label: np.ndarray, reference: np.ndarray) -> bool:
    pairs = set(zip(label[: len(reference)].tolist(), reference.tolist(), strict=True))  # it leaves out the last hit
    return len(pairs) == len(set(reference.tolist())) == len({one for one, _ in pairs})


@pytest.mark.filterwarnings("ignore:.*asks for a GPU")
def test_scores_by_the_served_network_become_the_tracks_of_the_reference(
    data: Path, hits: np.ndarray, shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    model = shared_data / "models" / "exatrkx_gnn"
    if not model.is_dir():
        pytest.skip(f"no {model}")
    (tmp_path / "gnn").symlink_to(model)
    edges = _load(data, "applyfilter_output_EDGE_LIST_AFTER_FILTER").astype(np.int64).reshape(2, -1)
    with sonic.Model(f"local:{tmp_path}/gnn") as network:
        logits = network(INPUT__0=hits, INPUT__1=edges)["OUTPUT__0"]
    assert np.abs(logits - _load(data, "gnn_output_OUTPUT__0")).max() < 2e-4
    last = _load(data, "exatrkx_output_LABELS").astype(int)
    label = components(edges[:, logits > 0], len(hits))
    assert _same_parts(label, last)
    assert not _same_parts(components(edges[:, logits > 2], len(hits)), last)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    made = {frozenset(row) - {-1, len(last)} for row in tracks(edges, scores, len(hits)).tolist()}
    reference = {frozenset(np.flatnonzero(last == number).tolist()) for number in set(last.tolist())}
    assert made <= reference
    assert {part for part in reference if len(part) >= 3} <= made
    assert len(made) > 20


def test_components_of_the_reference_scores_are_the_reference_components(data: Path, hits: np.ndarray) -> None:
    edges = _load(data, "applyfilter_output_EDGE_LIST_AFTER_FILTER").astype(np.int64).reshape(2, -1)
    label = components(edges[:, _load(data, "gnn_output_OUTPUT__0") > 0], len(hits))
    assert _same_parts(label, _load(data, "wcc_output_OUTPUT0").astype(int))
