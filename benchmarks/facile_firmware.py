"""What fixed point costs `facile-fpga` in energy resolution, and what its firmware takes.

Bits are searched on rows of one sample; resolutions are of others, with 0, 50 and 100 collisions a crossing, of the
same channels in floating point and in fixed point. A figure is the worst of the bins in the true energy: resolution in
fixed point over that in floating point.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from common import Figure
from sonic.firmware import da
from sonic.firmware.fromonnx import read
from sonic.firmware.physics import EDGES_GEV, resolutions
from sonic.firmware.precision import Precision
from sonic.firmware.search import search
from sonic.workloads import MODELS
from sonic.workloads.hcal.sample import JETS, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

PILEUP = (0.0, 50.0, 100.0)
EVENTS = 40
ERROR = 0.0005
PLAIN_UP_TO_GEV = 16.0
"""`ap_fixed<16,6>` ends at 32 GeV, and so do bins half as high."""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Compare; a repeat is another sample of channels."""
    network = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile")
    start_s = time.perf_counter()
    best = search(network, network.prepare(rows()), ERROR).best
    console.print(f"searched in {time.perf_counter() - start_s:.1f} s: {best.bit_products:,} bit products")
    plain = Precision()
    for name, precision in (("ap_fixed<16,6>", plain), ("by layer", best.precision)):
        console.print(f"{name}: {da.Logic(network, precision).cost.luts:,.0f} look-up tables (da4ml's estimate)")
    low = EDGES_GEV.index(PLAIN_UP_TO_GEV)
    worst: dict[str, list[float]] = {"bits by layer": [], f"ap_fixed<16,6>, below {PLAIN_UP_TO_GEV:g} GeV": []}
    for number in range(repeats):
        for pileup in PILEUP:
            beam = replace(JETS, pileup=pileup)
            found = resolutions(
                network, {"float": None, "best": best.precision, "plain": plain},
                events=EVENTS, beam=beam, seed=100 + number,
            )  # fmt: skip
            ratios = {name: found[name].width / found["float"].width for name in ("best", "plain")}
            for each, (name, values) in zip((ratios["best"], ratios["plain"][:low]), worst.items(), strict=True):
                values.append(float(np.nanmax(each)))
                console.print(f"{pileup:g} collisions, {name}: {' '.join(f'{value:.4f}' for value in each)}")
    for name, values in worst.items():
        yield Figure.of(f"resolution in fixed point / floating point, worst bin: {name}", values, 1.02, at_most=True)
