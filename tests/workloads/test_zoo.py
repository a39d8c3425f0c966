from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from sonic.errors import ConfigError, OutputError
from sonic.protocol.digests import survey
from sonic.workloads import MODELS, zoo

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [network.name for network in zoo.NETWORKS if network.shipped]


@pytest.mark.parametrize("name", NAMES)
def test_trained_weights_ship_at_the_published_size(name: str):
    network = zoo.network(name)
    metrics = network.metrics()
    assert network.shipped
    assert metrics["parameters"] == network.parameters
    assert metrics["weights"] == "trained on generated events"
    assert metrics["recipe"]["width"] == 1.0
    assert metrics["versions"]["torch"]


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_ship_are_those_of_their_checksums(name: str):
    assert [row.state for row in survey(MODELS / name)] == ["ok"]


def test_the_shipped_tagger_tells_b_jets_from_light_ones():
    metrics = zoo.network("particlenet-ak4").metrics()
    assert metrics["auc"]["b_vs_light"] > 0.9
    assert metrics["test_jets"] > 10_000
    assert 0 < metrics["b_cut_at_light_mistag"]["0.01"] < 1


def test_the_shipped_deepmet_resolves_better_than_the_plain_sum():
    met = zoo.network("deepmet").metrics()["met"]
    assert met["deepmet"]["width_gev"] < met["plain_sum"]["width_gev"]


def test_building_copies_what_ships(tmp_path: Path):
    for name in NAMES:
        target = zoo.build(name, tmp_path)
        assert (target / "1" / "model.onnx").read_bytes() == (MODELS / name / "1" / "model.onnx").read_bytes()
    with pytest.raises(OutputError, match="is there already"):
        zoo.build("deepmet", tmp_path)


def test_what_cannot_be_built(tmp_path: Path):
    with pytest.raises(ConfigError, match="no network 'resnet': there are particlenet-ak4, deepmet"):
        zoo.build("resnet", tmp_path)
    with pytest.raises(ConfigError, match="weights 'good'"):
        zoo.build("deepmet", tmp_path, weights="good")
    with pytest.raises(ConfigError, match="format 'tensorrt': one of onnx, torchscript"):
        zoo.build("deepmet", tmp_path, weights="random", format="tensorrt")
    with pytest.raises(ConfigError, match="width must be positive, got 0"):
        zoo.build("deepmet", tmp_path, weights="random", width=0)
    with pytest.raises(ConfigError, match="trained weights ship as onnx, not as torchscript"):
        zoo.build("deepmet", tmp_path, format="torchscript")
    with pytest.raises(ConfigError, match="resnet50: no trained weights ship; build with random ones"):
        zoo.build("resnet50", tmp_path)
    with pytest.raises(ConfigError, match="deeptau-ensemble: the steps of an ensemble are built as onnx"):
        zoo.build("deeptau-ensemble", tmp_path, weights="random", width=0.1, format="torchscript")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="published width"):
        zoo.build("deepmet", tmp_path, width=0.5)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        zoo.build("deepmet", tmp_path / "file")


def test_what_cannot_be_trained():
    with pytest.raises(ConfigError, match="resnet50: there is no training for it; there is for particlenet-ak4"):
        zoo.defaults("resnet50")


@pytest.fixture
def exported_before(monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]) -> None:
    """Take the ONNX model from the fixture instead of exporting again, which takes seconds."""
    import onnx

    from sonic.workloads import export

    model = onnx.load(tiny_models["deepmet"] / "1" / "model.onnx")
    monkeypatch.setattr(export, "to_onnx", lambda *_: model)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("exported_before")
def test_random_weights(tmp_path: Path, tiny_models: dict[str, Path]):
    target = zoo.build("deepmet", tmp_path, weights="random", width=0.25, seed=3)
    assert "random" in (target / "metrics.json").read_text()
    assert (target / "config.pbtxt").read_text() == (tiny_models["deepmet"] / "config.pbtxt").read_text()


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "sonic.workloads.export", None)
    monkeypatch.delattr("sonic.workloads.export", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'sonic-hep\[train\]'"):
        zoo.build("deepmet", tmp_path, weights="random")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("exported_before")
def test_training_puts_a_whole_model_in_place_and_cleans_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from sonic.workloads import export
    from sonic.workloads.training import deepmet

    def trainer(recipe: Any, folder: Path, progress: Any) -> Any:
        assert recipe.cores > 0
        (folder / "checkpoint.pt").touch()
        progress("training", 1, 1)
        return export.random_network("deepmet", recipe.width, recipe.seed), {"losses": [1.0]}

    monkeypatch.setattr(deepmet, "train", trainer)
    seen: list[tuple[str, int, int]] = []
    recipe = replace(zoo.defaults("deepmet"), width=0.25, seed=3, device="cpu")
    repository = tmp_path / "models"
    for _ in range(2):  # the second replaces the first
        target = zoo.train("deepmet", repository, recipe, lambda *report: seen.append(report))
    assert target == repository / "deepmet"
    assert sorted(p.name for p in target.iterdir()) == ["1", "config.pbtxt", "metrics.json"]
    assert seen == [("training", 1, 1)] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["models"]
    with pytest.raises(ConfigError, match="epochs must be positive"):
        zoo.train("deepmet", repository, replace(recipe, epochs=0))
    with pytest.raises(ConfigError, match="device 'tpu'"):
        zoo.train("deepmet", repository, replace(recipe, device="tpu"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_networks_give_the_same_bits_in_any_batch(name: str):
    session = onnxruntime.InferenceSession(MODELS / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    arrays = {}
    for tensor in session.get_inputs():
        shape = (6, *tensor.shape[1:])
        values = rng.integers(0, 3, shape) if "int" in tensor.type else np.abs(rng.normal(size=shape))
        arrays[tensor.name] = values.astype(np.int32 if "int" in tensor.type else np.float32)
        if tensor.name.endswith("_mask"):
            arrays[tensor.name] = (values > 0.3).astype(np.float32)
    (whole,) = session.run(None, arrays)
    for row in range(6):
        (one,) = session.run(None, {key: a[row : row + 1] for key, a in arrays.items()})
        assert np.array_equal(one[0], whole[row])
