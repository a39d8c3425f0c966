from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.network import Activation, Convolution, Dense, Network, Normalisation, Pooling


def test_shapes_follow_the_layers(cnn: Network, mlp: Network) -> None:
    assert cnn.shapes["edges"] == (6, 5, 3)
    assert cnn.shapes["largest"] == (3, 2, 3)
    assert cnn.shapes["row"] == (12,)
    assert (cnn.inputs_per_row, cnn.outputs_per_row, cnn.given_shape) == (60, 2, (2, 6, 5))
    assert (mlp.names, cnn.names) == (("features", "scores"), ("image", "last"))


def test_layers_that_do_not_fit(mlp: Network) -> None:
    with pytest.raises(ConfigError, match=r"layer 'first' takes 6 numbers, given \[7\]"):
        replace(mlp, shape=(7,))
    with pytest.raises(ConfigError, match="takes 'nothing', which does not come before it"):
        replace(mlp, layers=(Activation("cut", ("nothing",), "relu"),))
    with pytest.raises(ConfigError, match="two layers are called 'first'"):
        replace(mlp, layers=(mlp.layers[0], mlp.layers[0]))
    with pytest.raises(ConfigError, match="has no layers"):
        replace(mlp, layers=())
    wide = Convolution("c", ("x",), np.zeros((5, 1, 1)), np.zeros(1), (1,), ((0, 0),))
    for layer in (wide, Pooling("p", ("x",), "max", (5,), (5,))):
        with pytest.raises(ConfigError, match=r"takes at least \[5\], given \[4\]"):
            Network("n", "x", (4, 1), (layer,))
    with pytest.raises(ConfigError, match="takes 2 numbers"):
        Network("n", "x", (3,), (Dense("d", ("x",), np.zeros((2, 2)), np.zeros(2)),))


def test_rows_are_prepared_by_the_host(cnn: Network) -> None:
    random = np.random.default_rng(1)
    images = random.normal(size=(3, *cnn.given_shape)).astype(np.float32) * 1e5
    plain = cnn.prepare(images)
    assert (plain.dtype, plain.shape, plain.flags.c_contiguous) == (np.float64, (3, 6, 5, 2), True)
    assert np.array_equal(plain, np.moveaxis(images, 1, -1))
    plain[:] = 0
    assert images.any()  # nobody's array is changed
    factor, shift = random.normal(size=(2, 2))
    normalised = replace(cnn, normalisation=Normalisation(factor, shift))
    # One product and one sum, each rounded: what any language gives that has float64.
    expected = [float(images[2, 1, 5, 3]) * float(factor[1]) + float(shift[1])]
    assert normalised.prepare(images)[2, 5, 3, 1] == expected
    assert normalised.prepare(images[:0]).shape == (0, 6, 5, 2)
    with pytest.raises(ConfigError, match=r"takes rows of \[2, 6, 5\], given \[3, 6, 5, 2\]"):
        normalised.prepare(np.zeros((3, 6, 5, 2)))
    with pytest.raises(ConfigError, match="the host normalises 3 channels, and 'image' has 2"):
        replace(cnn, normalisation=Normalisation(np.ones(3), np.ones(3)))
