from __future__ import annotations

import json
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
BATCHED = [name for name in NAMES if "max_batch_size: 0" not in (MODELS / name / "config.pbtxt").read_text()]


@pytest.mark.parametrize("name", NAMES)
def test_trained_weights_ship_at_the_published_size_or_say_at_which(name: str):
    network = zoo.network(name)
    metrics = network.metrics()
    assert metrics["weights"] == "trained on generated events"
    assert metrics["width"] == metrics["recipe"]["width"]
    assert (metrics["parameters"] == network.parameters) == (metrics["width"] == 1.0)
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


@pytest.mark.parametrize("name", ["facile-v2", "facile-v5"])
def test_the_shipped_facile_resolves_as_well_as_the_fit(name: str):
    for row in zoo.network(name).metrics()["pileup"].values():
        ratios = np.array(row["facile"]["resolution"]) / np.array(row["fit"]["resolution"])
        assert (ratios[:2] < 1).all()  # below 2 GeV, where most channels are
        assert np.median(ratios) < 1.03


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
    for width in (0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"width must be positive, got {width}"):
            zoo.build("deepmet", tmp_path, weights="random", width=width)
    with pytest.raises(ConfigError, match="trained weights ship as onnx, not as torchscript"):
        zoo.build("deepmet", tmp_path, format="torchscript")
    with pytest.raises(ConfigError, match="jet-mlp-fixed: no trained weights ship; build with random ones"):
        zoo.build("jet-mlp-fixed", tmp_path)
    with pytest.raises(ConfigError, match="deeptau-ensemble: the steps of an ensemble are built as onnx"):
        zoo.build("deeptau-ensemble", tmp_path, weights="random", width=0.1, format="torchscript")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="the width they have"):
        zoo.build("deepmet", tmp_path, width=0.5)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        zoo.build("deepmet", tmp_path / "file")


def test_what_cannot_be_trained():
    with pytest.raises(ConfigError, match="jet-mlp-fixed: there is no training for it; there is for particlenet-ak4"):
        zoo.defaults("jet-mlp-fixed")


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
    work = tmp_path / ".models-training" / "deepmet"
    work.mkdir(parents=True)
    (work / "elapsed").write_text("100.0")  # of a training that was interrupted
    for again in (False, True):  # the second replaces the first
        target = zoo.train("deepmet", repository, recipe, lambda *report: seen.append(report))
        took_s = json.loads((target / "metrics.json").read_text())["elapsed_s"]
        assert took_s < 100 if again else took_s >= 100
    assert target == repository / "deepmet"
    assert sorted(p.name for p in target.iterdir()) == ["1", "MODEL_CARD.md", "config.pbtxt", "metrics.json"]
    assert seen == [("training", 1, 1)] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["models"]
    with pytest.raises(ConfigError, match="epochs must be positive"):
        zoo.train("deepmet", repository, replace(recipe, epochs=0))
    with pytest.raises(ConfigError, match="device 'tpu'"):
        zoo.train("deepmet", repository, replace(recipe, device="tpu"))


@pytest.mark.parametrize("name", BATCHED)
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
    whole = session.run(None, arrays)
    for row in range(6):
        alone = session.run(None, {key: a[row : row + 1] for key, a in arrays.items()})
        for one, every in zip(alone, whole, strict=True):
            assert np.array_equal(one[0], every[row])
