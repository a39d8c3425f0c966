from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.layers import (
    LAYERS,
    Concatenation,
    Difference,
    Product,
    Recurrent,
    Reshape,
    Softmax,
    Sum,
    output_shape,
)


def cell(name: str, channels: int, gates: int, every_step: bool = False) -> Recurrent:
    return Recurrent(
        "l",
        (),
        name,
        *(np.zeros(shape) for shape in ((channels, gates), (2, gates), gates, gates)),
        every_step,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("layer", "given", "made"),
    [
        (Reshape("l", (), (2, 3)), [(6,)], (2, 3)),
        (Sum("l", ()), [(2, 3), (2, 3)], (2, 3)),
        (Difference("l", ()), [(3,), (3,)], (3,)),
        (Product("l", ()), [(3,), (3,)], (3,)),
        (Concatenation("l", ()), [(4, 2), (4, 3)], (4, 5)),
        (Softmax("l", ()), [(5,)], (5,)),
        (cell("gru", 3, 6), [(7, 3)], (2,)),
        (cell("lstm", 3, 8, every_step=True), [(7, 3)], (7, 2)),
    ],
)
def test_shapes(layer: Any, given: list[tuple[int, ...]], made: tuple[int, ...]) -> None:
    assert output_shape(layer, given) == made
    assert type(layer) in LAYERS


@pytest.mark.parametrize(
    ("layer", "given", "says"),
    [
        (Reshape("l", (), (2, 3)), [(5,)], r"takes 6 numbers, given \[5\]"),
        (Sum("l", ()), [(2, 3), (3, 2)], r"takes shape \[2, 3\], given \[3, 2\]"),
        (Product("l", ()), [(3,), (1,)], r"takes shape \[3\], given \[1\]"),
        (Concatenation("l", ()), [(4, 2), (3, 2)], r"but for the channels, given \[3, 2\]"),
        (Softmax("l", ()), [(5, 2)], r"takes numbers in a row, given \[5, 2\]"),
        (cell("gru", 3, 6), [(3,)], r"takes steps of 3 numbers, given \[3\]"),
        (cell("lstm", 3, 6), [(7, 3)], "not all of 8 numbers a row"),
    ],
)
def test_what_does_not_fit(layer: Any, given: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        output_shape(layer, given)
