from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.firmware.reading import check_convolution, check_ends, identifier, row_shape, same_pads


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("dense_1", "dense_1"),
        ("/model/fc.1/Gemm", "model_fc_1_Gemm"),
        ("3rd", "n_3rd"),
        ("größe", "gr__e"),
        ("//", "node"),
        ("double", "n_double"),
        ("main", "n_main"),
        ("input", "n_input"),
        ("x", "n_x"),
    ],
)
def test_names_that_cpp_takes(name: str, made: str) -> None:
    assert identifier(name, "x", "y") == made


def test_ends_and_sizes() -> None:
    check_ends("m", 1, 1)
    assert row_shape("x", [3, 4]) == (3, 4)
    for inputs, outputs in ((2, 1), (1, 2), (0, 1)):
        with pytest.raises(ConfigError, match=f"'m' has {inputs} and {outputs}"):
            check_ends("m", inputs, outputs)
    for sizes in ([], [3, 0], [None]):
        with pytest.raises(ConfigError, match="input 'x': firmware needs every size but the batch's"):
            row_shape("x", sizes)


def test_how_convolutions_go() -> None:
    check_convolution(1, (1, 1))
    for groups, dilations in ((2, (1, 1)), (1, (1, 2))):
        with pytest.raises(ConfigError, match="no groups and no dilations"):
            check_convolution(groups, dilations)
    assert [same_pads(7, 4, stride) for stride in (1, 2, 3)] == [(1, 2), (1, 2), (1, 2)]
    assert same_pads(8, 1, 3) == (0, 0)
