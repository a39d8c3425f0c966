from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.network import Activation, Convolution, Dense, Network, Pooling


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
