"""Firmware of networks too large to be unrolled: streams, and multipliers that are used again.

The network is that of Aarrestad et al. (arXiv:2101.05108) for house numbers of 32x32 pixels: three convolutions of 3x3
with 16, 16 and 24 channels, each with a maximum of 2x2 behind it, then 42, 64 and 10 numbers. It has 14,210 parameters
with its normalisations, and 13,724 numbers when these are taken into its layers. Weights are random: the question is
whether it builds, how long that takes, and whether all bits are the reference's.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import Figure
from sonic.firmware.build import build
from sonic.firmware.layers import Activation, Convolution, Dense, Flatten, Pooling
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.synthesis import Synthesis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from sonic.firmware.layers import Layer

ROUTES = ("hls4ml-vitis", "hls4ml-quartus")
PRECISION = Precision.uniform(Fixed(16, 6))
SYNTHESIS = Synthesis(stream=True, strategy="resource", reuse=9)
ROWS = 64


def network(seed: int = 1) -> Network:
    """Return the network, with random weights that keep numbers about as large as they come."""
    random = np.random.default_rng(seed)
    layers: list[Layer] = []
    name, channels = "image", 3
    for number, filters in enumerate((16, 16, 24)):
        weight = random.normal(size=(3, 3, channels, filters)) * np.sqrt(2 / (9 * channels))
        bias = random.normal(size=filters) / 8
        layers += [
            Convolution(f"conv{number}", (name,), weight, bias, (1, 1), ((0, 0), (0, 0))),
            Activation(f"relu{number}", (f"conv{number}",), "relu"),
            Pooling(f"pool{number}", (f"relu{number}",), "max", (2, 2), (2, 2)),
        ]
        name, channels = f"pool{number}", filters
    layers.append(Flatten("row", (name,)))
    name, size = "row", 2 * 2 * channels
    for number, made in enumerate((42, 64, 10)):
        weight = random.normal(size=(size, made)) * np.sqrt(2 / size)
        layers.append(Dense(f"dense{number}", (name,), weight, random.normal(size=made) / 8))
        name, size = f"dense{number}", made
        if made != 10:
            layers.append(Activation(f"cut{number}", (name,), "relu"))
            name = f"cut{number}"
    return Network("svhn", "image", (32, 32, 3), tuple(layers))


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Build each route once, and compare."""
    given = network()
    rows = np.random.default_rng(2).uniform(0, 1, (ROWS, *given.shape))
    bits = PRECISION.input.quantise(rows)
    with tempfile.TemporaryDirectory() as folder:
        for route in ROUTES:
            start_s = time.perf_counter()
            made = build(given, PRECISION, Path(folder) / route, route=route, synthesis=SYNTHESIS)
            console.print(f"{route}: built in {time.perf_counter() - start_s:.1f} s")
            emulate, expected = made.emulator(), made.reference(bits).reshape(ROWS, -1)
            rates = []
            for _ in range(repeats):
                start_s = time.perf_counter()
                computed = emulate(bits.reshape(ROWS, -1), 1)
                rates.append(ROWS / (time.perf_counter() - start_s))
            console.print(f"{route}: {max(rates):,.0f} images/s on one thread")
            same = float(np.mean(computed == expected))
            yield Figure.of(f"{route}: part of the numbers with the bits of the reference", [same], 1.0)
