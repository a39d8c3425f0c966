from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.firmware.build import build
from sonic.firmware.network import (
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Flatten,
    Network,
    Pooling,
    Product,
    Scale,
    Sum,
    Upsampling,
)
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware


@pytest.fixture(scope="session")
def mlp() -> Network:
    """Three products with functions of both kinds between them, and what tensors are merged by."""
    random = np.random.default_rng(3)

    def dense(name: str, given: str, n_in: int, n_out: int) -> Dense:
        return Dense(name, (given,), random.normal(size=(n_in, n_out)) / 2, random.normal(size=n_out) / 8)

    return Network(
        "mlp",
        "x",
        (6,),
        (
            dense("first", "x", 6, 5),
            Activation("bent", ("first",), "leaky_relu", 0.25),
            dense("second", "bent", 5, 4),
            Activation("cut", ("second",), "relu"),
            Difference("less", ("cut", "second")),
            Product("times", ("less", "second")),
            Concatenation("both", ("times", "cut")),
            dense("last", "both", 8, 2),
        ),
        tensors=("features", "scores"),
    )


@pytest.fixture(scope="session")
def cnn() -> Network:
    """Of each layer one, in two dimensions, with a branch."""
    random = np.random.default_rng(4)

    def convolution(name: str, given: str, size: tuple[int, int], n_in: int, pads: int) -> Convolution:
        weight = random.normal(size=(*size, n_in, 3)) / 3
        return Convolution(name, (given,), weight, random.normal(size=3) / 8, (1, 1), ((pads, pads), (pads, pads)))

    return Network(
        "cnn",
        "image",
        (6, 5, 2),
        (
            Scale("norm", ("image",), np.array([0.5, 1.25]), np.array([0.25, -0.5])),
            convolution("edges", "norm", (3, 3), 2, 1),
            Activation("cut", ("edges",), "relu"),
            convolution("again", "cut", (3, 3), 3, 1),
            Sum("both", ("cut", "again")),
            Upsampling("wide", ("both",), (1, 2)),
            Pooling("largest", ("wide",), "max", (2, 4), (2, 4)),
            Pooling("mean", ("largest",), "average", (2, 1), (1, 1)),
            Flatten("row", ("mean",)),
            Dense("last", ("row",), random.normal(size=(12, 2)) / 3, np.zeros(2)),
        ),
        transposed=True,
    )


@pytest.fixture(scope="session")
def mixed() -> Precision:
    """Of each kind of number one."""
    rounded = Types(Fixed(12, 5, rounding="RND", overflow="SAT"), Fixed(8, 2), Fixed(10, 3))
    return Precision(Fixed(14, 6), Types(Fixed(16, 6), Fixed(10, 2), Fixed(12, 4)), {"first": rounded})


@pytest.fixture(scope="session")
def built(mlp: Network, mixed: Precision, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The first network by hls4ml, compiled."""
    pytest.importorskip("hls4ml")
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    return build(mlp, mixed, tmp_path_factory.mktemp("firmware") / "mlp", route="hls4ml-quartus")


@pytest.fixture(scope="session")
def traced(cnn: Network, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The second by da4ml."""
    pytest.importorskip("da4ml")
    precision = Precision.uniform(Fixed(12, 5))
    folder: Path = tmp_path_factory.mktemp("firmware") / "cnn"
    return build(cnn, precision, folder, route="da4ml")
