from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, DataError, InvalidRequest
from sonic.firmware.build import build
from sonic.firmware.bundle import pack
from sonic.firmware.precision import Precision
from sonic.firmware.serving import repository

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware
    from sonic.firmware.network import Network


def test_folders_and_bundles_are_models(traced: Firmware, built: Firmware, tmp_path: Path) -> None:
    packed = pack(built.folder, tmp_path / "mlp.tar.gz")
    x = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    with repository([traced.folder, packed], {"invalid": "refuse"}) as folder:
        assert sorted(each.name for each in folder.iterdir() if not each.name.startswith(".")) == ["cnn", "mlp"]
        with sonic.Model(f"local:{folder}/mlp") as model:
            assert np.array_equal(model(features=x)["scores"], built.reference(x).astype(np.float32))
            with pytest.raises(InvalidRequest, match="not finite"):
                model(features=x * np.nan)
    assert not folder.exists()


def test_a_model_keeps_its_name(mlp: Network, tmp_path: Path) -> None:
    pytest.importorskip("da4ml")
    build(replace(mlp, name="jet_tagger_v2", model="jet-tagger.v2"), Precision(), tmp_path / "one", route="da4ml")
    with repository([tmp_path / "one"]) as folder, sonic.Model(f"local:{folder}/jet-tagger.v2") as model:
        assert model(features=np.zeros((2, 6), np.float32))["scores"].shape == (2, 2)
    build(replace(mlp, model="../tagger"), Precision(), tmp_path / "other", route="da4ml")
    with pytest.raises(ConfigError, match=r"called '\.\./tagger', and no folder"), repository([tmp_path / "other"]):
        pass


def test_what_cannot_be_served(traced: Firmware, tmp_path: Path) -> None:
    for places, says in (([tmp_path], "holds no firmware"), ([tmp_path / "nothing"], "No such file")):
        with pytest.raises(DataError, match=says), repository(places):
            pass
    with pytest.raises(ConfigError, match="another model called 'cnn'"), repository([traced.folder] * 2):
        pass
