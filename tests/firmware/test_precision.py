from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.network import Dense, Network, Pooling
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types


def test_layers_have_their_own_numbers(mixed: Precision) -> None:
    assert mixed.of("first").weight == Fixed(8, 2)
    assert mixed.of("second").weight == Fixed(10, 2)


def test_a_layer_that_is_not_there(mlp: Network) -> None:
    with pytest.raises(ConfigError, match="a precision is given for 'firts'"):
        Precision(layers={"firts": Types()}).check(mlp)


def test_sums_that_the_reference_could_not_hold() -> None:
    wide = Network("n", "x", (1024,), (Dense("d", ("x",), np.zeros((1024, 1)), np.zeros(1)),))
    Precision.uniform(Fixed(20, 6)).check(wide)
    with pytest.raises(ConfigError, match="layer 'd': its sums need 75 bits, and 53 can be had"):
        Precision.uniform(Fixed(32, 6)).check(wide)


def test_means_that_are_no_numbers_of_fixed_point() -> None:
    thirds = Network("n", "x", (6, 1), (Pooling("p", ("x",), "average", (3,), (3,)),))
    with pytest.raises(ConfigError, match="the mean of 3 numbers"):
        Precision().check(thirds)
