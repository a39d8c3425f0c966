"""Rows/s of emulators of firmware, and what serving them costs.

`facile-fpga`, trained, in `ap_fixed<16,6>`, by each route: the library called with 16,384 rows in this process, on one
thread and on all cores; hls4ml's own `predict` of the same project beside it; and the same rows through a server of
its own process, one after the other, on one core.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sonic
from common import Figure, calls_per_s
from sonic.client.fallback import ServeProcess
from sonic.firmware import layerlist
from sonic.firmware.build import ROUTES, build
from sonic.firmware.fromonnx import read
from sonic.firmware.precision import Precision
from sonic.firmware.synthesis import Synthesis
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from sonic.firmware.network import Network
    from sonic.firmware.synthesis import Writer

ROWS = 16_384
CONFIG = 'backend: "fpga"\nmax_batch_size: 16384\n'


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Measure the routes one after the other."""
    network, precision = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile"), Precision()
    assert network.normalisation is not None
    prepared = np.random.default_rng(1).normal(size=(ROWS, *network.shape))
    rows = ((prepared - network.normalisation.shift) / network.normalisation.factor).astype(np.float32)
    bits = precision.input.quantise(network.prepare(rows))
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        for route, writer in ROUTES.items():
            if route == "conifer":  # which is for decision trees alone
                continue
            start_s = time.perf_counter()
            made = build(network, precision, Path(folder) / route / "facile" / "1", route=route)
            console.print(f"{route}: built in {time.perf_counter() - start_s:.1f} s")
            one, many = (partial(made.emulator(), bits, threads) for threads in (1, cores))
            rates = [max(_rate(call) for _ in range(repeats)) for call in (one, many)]
            console.print(f"{route}: {rates[0]:,.0f} rows/s on one thread, {rates[1]:,.0f} on {cores} cores")
            if writer is not None and writer != "Catapult":
                theirs = partial(_own_predict(network, precision, writer, Path(folder) / f"own-{route}"), bits)
                pairs = [(_rate(one), _rate(many), _rate(theirs)) for _ in range(repeats)]
                name = f"{route}: library / hls4ml's predict, rows/s"
                yield Figure.of(f"{name}, one thread", [alone / their for alone, _, their in pairs])
                yield Figure.of(f"{name}, {cores} cores", [all_cores / their for _, all_cores, their in pairs], 3.0)
            (made.folder.parent / "config.pbtxt").write_text(CONFIG)
            with (
                ServeProcess([made.folder.parents[1]], cores=1) as server,
                sonic.Model(f"{server.grpc_url}/facile") as model,
            ):
                call = partial(model, **{made.network.names[0]: rows})
                served = [_rate(call) / _rate(one) for _ in range(repeats)]
            yield Figure.of(f"{route}: served / library, rows/s, one thread, {ROWS:,} rows a request", served, 0.8)


def _rate(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """Return the rows/s of calls with all rows, one after the other."""
    call()
    return ROWS * calls_per_s(call, seconds)


def _own_predict(network: Network, precision: Precision, writer: Writer, folder: Path) -> Callable[[Any], Any]:
    from hls4ml.model.graph import ModelGraph

    synthesis = Synthesis(writer=writer)
    with contextlib.redirect_stdout(io.StringIO()):
        model = ModelGraph.from_layer_list(
            layerlist.configuration(network, precision, synthesis, folder), layerlist.layer_list(network, precision)
        )
        model.compile()
    return lambda rows: model.predict(np.ascontiguousarray(rows))
