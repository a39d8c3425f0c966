"""Calls/s of `sonic.Model` on a server of the same host with shared memory, over calls/s with all on the wire.

The model gives back what it is sent: as many bytes go as come, and the sizes are those of one way. `auto` is what a
client does by itself, so small tensors go over the wire; `always` shows from which size on memory pays. The three are
called in turn, many times, and each repeat is one ratio.
"""

from __future__ import annotations

from itertools import permutations
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

import sonic
from common import Figure, echo_models
from sonic.client.fallback import ServeProcess
from sonic.client.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

SIZES = {"1 kB": 1_000, "100 kB": 100_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
GOALS = {"1 kB": 0.85, "100 kB": 0.85, "1 MB": 1.2, "10 MB": 2.0}
ROUNDS = 4
"""In each of the six orders."""
ROUND_S = 0.03
"""Of one way; short, so that what else the machine does falls on all ways alike."""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each size, over gRPC and over HTTP."""
    with echo_models() as models, ServeProcess([models]) as server:
        for front, url in (("gRPC", server.grpc_url), ("HTTP", server.http_url)):
            for size in SIZES:
                yield _figure(f"{url}/echo", front, size, repeats, console)


def _figure(url: str, front: str, size: str, repeats: int, console: Console) -> Figure:
    x = np.random.default_rng(1).random(SIZES[size] // 4, np.float32)
    with (
        sonic.Model(url, settings=ClientSettings(shared_memory="never")) as never,
        sonic.Model(url, settings=ClientSettings()) as auto,
        sonic.Model(url, settings=ClientSettings(shared_memory="always")) as always,
    ):
        models = {"wire": never, "auto": auto, "always": always}
        for model in models.values():
            _call_s(model, x, 10)  # in which regions are made
        times = [_repeat(models, x) for _ in range(repeats)]
    said = ", ".join(f"{way} {1e3 * median(time[way] for time in times):.3f} ms" for way in models)
    forced = median(time["wire"] / time["always"] for time in times)
    console.print(f"{front}, {size}: {said}; always is {forced:.2f} times as fast as the wire", soft_wrap=True)
    return Figure.of(f"{front}, {size}", [time["wire"] / time["auto"] for time in times], GOALS[size])


def _repeat(models: Mapping[str, sonic.Model], x: np.ndarray) -> dict[str, float]:
    calls = max(2, int(ROUND_S / _call_s(models["wire"], x, 3)))
    took_s: dict[str, list[float]] = {way: [] for way in models}
    # In every order, as often: what is still warm, or still being freed, is of the one before.
    for order in ROUNDS * list(permutations(models)):
        for way in order:
            took_s[way].append(_call_s(models[way], x, calls))
    return {way: median(times) for way, times in took_s.items()}


def _call_s(model: sonic.Model, x: np.ndarray, calls: int) -> float:
    began_s = perf_counter()
    for _ in range(calls):
        model(x=x)
    return (perf_counter() - began_s) / calls
