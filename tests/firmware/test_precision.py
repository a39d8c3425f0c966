from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.network import Activation, Dense, Network, Pooling, Product, Softmax
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


def tanh_of(network_input: Fixed, types: Types) -> None:
    network = Network("n", "x", (6,), (Activation("t", ("x",), "tanh"),))
    Precision(network_input, types).check(network)


def test_tables_that_cannot_be_addressed() -> None:
    tanh_of(Fixed(22, 18), Types(table_size=65536))
    for size in (8, 1000, 2**17):
        with pytest.raises(ConfigError, match=f"a power of 2 from 16 to 65536, given {size}"):
            tanh_of(Fixed(12, 4), Types(table_size=size))
    with pytest.raises(ConfigError, match="24 bits before the point are too many for a table's address"):
        tanh_of(Fixed(28, 24), Types(table_size=4096))
    softmax = Network("n", "x", (6,), (Softmax("s", ("x",)),))
    Precision(default=Types(table=Fixed(10, 2))).check(softmax)
    with pytest.raises(ConfigError, match=r"layer 's': the table of a softmax holds 1, which ap_fixed<10,1> does not"):
        Precision(default=Types(table=Fixed(10, 1))).check(softmax)
    many = Network("n", "x", (16,), (Softmax("s", ("x",)),))
    with pytest.raises(ConfigError, match="a softmax of 16 numbers has tables of more, given 16"):
        Precision(default=Types(table_size=16)).check(many)


def test_slopes_that_the_reference_could_not_hold() -> None:
    bent = Network("n", "x", (6,), (Activation("b", ("x",), "leaky_relu", 0.1),))
    Precision.uniform(Fixed(26, 6)).check(bent)
    with pytest.raises(ConfigError, match="layer 'b': its sums need 54 bits"):
        Precision.uniform(Fixed(27, 6)).check(bent)


def test_products_that_the_reference_could_not_hold() -> None:
    product = Network("n", "x", (6,), (Product("p", ("x", "x")),))
    Precision.uniform(Fixed(26, 6)).check(product)
    with pytest.raises(ConfigError, match="layer 'p': its sums need 54 bits"):
        Precision.uniform(Fixed(27, 6)).check(product)
