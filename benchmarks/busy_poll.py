"""Calls/s of one client, one at a time, of a server that looks for the next request over those of one that sleeps.

A small request over gRPC and HTTP, by Triton's clients and by Sonic's. First with a core for the server and another for
the client, where looking is worth it; then with one for both, where the server finds that it is not.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import tritonclient.grpc
import tritonclient.http

import sonic
from common import Figure, calls_per_s, echo_models, pinned
from sonic.client.fallback import ServeProcess
from sonic.server.busypoll import DEFAULT_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

WINDOW_S = 0.5
WARM_UP = 50
TURNS = 3
"""Windows of each server in a repeat."""
X = np.arange(240, dtype=np.float32)
OWN, SHARED = 1.0, 0.95
"""Goals."""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each client."""
    cores = sorted(os.sched_getaffinity(0))
    places = {"one core for both": (cores[:1], cores[:1], SHARED)}
    if len(cores) > 1:
        places = {"a core for each": (cores[:1], cores[1:2], OWN)} | places
    for place, (servers, clients, goal) in places.items():
        with ExitStack() as stack:
            models = stack.enter_context(echo_models())
            with pinned(servers):
                sleeps, looks = (
                    stack.enter_context(ServeProcess([models], options=("--busy-poll-us", str(limit_us))))
                    for limit_us in (0, DEFAULT_US)
                )
            stack.enter_context(pinned(clients))
            asleep, awake = _calls(sleeps, stack), _calls(looks, stack)
            for client in asleep:
                ratios = []
                for _ in range(repeats):
                    rates = [(_rate(asleep[client]), _rate(awake[client])) for _ in range(TURNS)]
                    before, after = (sum(each) / TURNS for each in zip(*rates, strict=True))
                    console.print(f"{client}, {place}: {before:.0f} calls/s, {after:.0f} where it looks")
                    ratios.append(after / before)
                yield Figure.of(f"{client}, {place}", ratios, goal=goal)


def _calls(server: ServeProcess, stack: ExitStack) -> dict[str, Callable[[], object]]:
    """Return what makes one call, by client."""
    grpc = tritonclient.grpc.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
    http = tritonclient.http.InferenceServerClient(server.http_url.removeprefix("http://"))
    stack.callback(grpc.close)
    stack.callback(http.close)
    by_grpc = tritonclient.grpc.InferInput("x", [len(X)], "FP32").set_data_from_numpy(X)
    by_http = tritonclient.http.InferInput("x", [len(X)], "FP32").set_data_from_numpy(X)
    model = stack.enter_context(sonic.Model(f"{server.grpc_url}/echo"))
    return {
        "tritonclient, HTTP": lambda: http.infer("echo", [by_http]),
        "tritonclient, gRPC": lambda: grpc.infer("echo", [by_grpc]),
        "sonic.Model, gRPC": lambda: model(x=X),
    }


def _rate(call: Callable[[], object]) -> float:
    for _ in range(WARM_UP):
        call()
    return calls_per_s(call, WINDOW_S)
