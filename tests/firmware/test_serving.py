from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, DataError, InvalidRequest
from sonic.firmware.bundle import pack
from sonic.firmware.serving import repository

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware


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


def test_what_cannot_be_served(traced: Firmware, tmp_path: Path) -> None:
    for places, says in (([tmp_path], "holds no firmware"), ([tmp_path / "nothing"], "No such file")):
        with pytest.raises(DataError, match=says), repository(places):
            pass
    with pytest.raises(ConfigError, match="another network called 'cnn'"), repository([traced.folder] * 2):
        pass
