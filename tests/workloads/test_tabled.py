from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.errors import ConfigError
from sonic.workloads import export, zoo

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 0.25


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network with random weights, and twice with those of a table."""
    folder = tmp_path_factory.mktemp("tabled")
    made = {"random": ("random", 0), "table": ("table", 0), "other": ("table", 1)}
    return {
        name: zoo.build("deepcalo", folder / name, weights=weights, width=WIDTH, seed=seed)
        for name, (weights, seed) in made.items()
    }


def outputs(folder: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, export.example_inputs("deepcalo", 3))[0]


def test_the_file_is_small_and_the_network_of_the_same_size(models: dict[str, Path], tmp_path: Path):
    sizes = {name: (folder / "1" / "model.onnx").stat().st_size for name, folder in models.items()}
    assert sizes["table"] < 0.25 * sizes["random"]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(models["table"] / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])
    # As it is loaded, the slices are weights again.
    assert (tmp_path / "loaded.onnx").stat().st_size == pytest.approx(sizes["random"], rel=0.1)


def test_outputs_are_finite_and_depend_on_the_seed(models: dict[str, Path]):
    first, other = outputs(models["table"]), outputs(models["other"])
    assert first.shape == other.shape == (3, 1)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, other)


def test_metrics_say_what_they_are(models: dict[str, Path]):
    assert json.loads((models["table"] / "metrics.json").read_text())["weights"].startswith("random, of a table")


def test_only_as_onnx(tmp_path: Path):
    with pytest.raises(ConfigError, match="built as onnx, not as torchscript"):
        zoo.build("deepcalo", tmp_path, weights="table", width=WIDTH, format="torchscript")
