from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if find_spec("hgq") is None or find_spec("keras") is None:
    pytest.skip("there is no HGQ2", allow_module_level=True)
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from hgq.config import QuantizerConfigScope
from hgq.layers import QAdd, QBatchNormalization, QBatchNormDense, QConv2D, QDense
from hgq.utils import trace_minmax

from sonic.errors import ConfigError, DataError
from sonic.firmware import da
from sonic.firmware.build import build
from sonic.firmware.fromhgq import of_model, read
from sonic.firmware.layers import Quantiser
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(1)


def scattered(model: Any, rows: np.ndarray) -> None:
    """Give every number bits of its own, as a training would, and see what numbers there are."""
    random = np.random.default_rng(2)
    for layer in model.layers:
        for quantiser in (getattr(layer, "_iq", None), getattr(layer, "_kq", None)):
            bits = getattr(getattr(quantiser, "quantizer", None), "_f", None)
            if bits is not None:
                bits.assign(random.integers(0, 5, bits.shape))
    trace_minmax(model, rows, verbose=False)


@pytest.fixture(scope="module")
def dense() -> tuple[Any, np.ndarray]:
    keras.utils.set_random_seed(1)
    with QuantizerConfigScope(place="all", default_q_type="kif"):
        layers = [
            QBatchNormDense(6, activation="relu", name="first"),
            QBatchNormalization(name="norm"),
            QDense(2, name="last"),
        ]
        model = keras.Sequential([keras.layers.Input((5,), name="x"), *layers])
    rows = RANDOM.normal(size=(200, 5)).astype(np.float32)
    for layer in layers[:2]:
        layer.moving_mean.assign(RANDOM.normal(size=layer.moving_mean.shape) / 4)
        layer.moving_variance.assign(RANDOM.uniform(0.5, 2, layer.moving_variance.shape))
    scattered(model, rows)
    return model, rows


@pytest.fixture(scope="module")
def image() -> tuple[Any, np.ndarray]:
    keras.utils.set_random_seed(2)
    with QuantizerConfigScope(place="all", default_q_type="kif"):
        given = keras.layers.Input((6, 5, 2), name="image")
        first = QConv2D(3, 3, padding="same", activation="relu", name="first")(given)
        second = QConv2D(3, 3, padding="same", name="second")(first)
        both = QAdd(name="both")([first, second])
        pooled = keras.layers.MaxPooling2D(2, name="pooled")(both)
        model = keras.Model(given, QDense(2, name="last")(keras.layers.Flatten(name="row")(pooled)))
    rows = RANDOM.normal(size=(60, 6, 5, 2)).astype(np.float32)
    scattered(model, rows)
    return model, rows


def test_firmware_gives_what_the_model_gives(dense: tuple[Any, np.ndarray], image: tuple[Any, np.ndarray]) -> None:
    for model, rows in (dense, image):
        network, precision = of_model(model, "m")
        there = np.asarray(model.predict(rows, verbose=0), np.float64)
        assert np.unique(there).size > 10
        assert np.array_equal(evaluate(network, precision, rows), there)
        assert any(isinstance(layer, Quantiser) for layer in network.layers)


def test_all_routes_give_it(dense: tuple[Any, np.ndarray], tmp_path: Path) -> None:
    model, rows = dense
    model.save(tmp_path / "m.keras")
    network, precision = read(tmp_path / "m.keras", "m")
    assert network.names == ("x", "last")
    there = np.asarray(model.predict(rows, verbose=0), np.float64)
    given = precision.input.quantise(rows)
    pytest.importorskip("da4ml")
    assert np.array_equal(da.Logic(network, precision).predict(given), there)
    pytest.importorskip("hls4ml")
    if shutil.which("g++") is not None:
        made = build(network, precision, tmp_path / "m", route="hls4ml-vitis")
        assert np.array_equal(made.emulator()(given, 1), there)


def test_what_firmware_has_not(tmp_path: Path) -> None:
    given = keras.layers.Input((4,), name="x")
    for layer, says in (
        (keras.layers.LayerNormalization(name="n"), "firmware knows no layer LayerNormalization"),
        (keras.layers.Activation("sigmoid", name="s"), "given sigmoid"),
    ):
        with pytest.raises(ConfigError, match=says):
            of_model(keras.Model(given, layer(given)))
    twice = QDense(4, name="twice")
    with pytest.raises(ConfigError, match="layer 'twice': firmware computes a layer once, and it is used 2 times"):
        of_model(keras.Model(given, twice(twice(given))))
    whatever = keras.layers.Input((None,), name="x")
    with pytest.raises(ConfigError, match="input 'x': firmware needs every size but the batch's"):
        of_model(keras.Model(whatever, keras.layers.ReLU()(whatever)))
    with pytest.raises(ConfigError, match="one input and one output, 'm' has 1 and 2"):
        of_model(keras.Model(given, [keras.layers.ReLU()(given), keras.layers.ReLU()(given)]), "m")
    (tmp_path / "m.keras").write_text("no model")
    with pytest.raises(DataError, match="holds no model of Keras"):
        read(tmp_path / "m.keras")
