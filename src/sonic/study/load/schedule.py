"""When requests are due. Pure.

Those of an open loop are due whether those before are answered or not, and latency counts from then: a server that
stops for a second makes all late that were due in it, which a client that waits for its answers would not even have
sent (coordinated omission).
"""

from __future__ import annotations

from itertools import count
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.study.load.settings import Arrivals

LATE_S = 1e-3
"""Later than this after it was due, a request is late by the load generator's own fault."""

PAUSE_S = 0.1
"""Of a client after an error: a server that refuses at once is not to be stormed."""


def due_times_s(rate: float, arrivals: Arrivals, *, part: int = 0, parts: int = 1, seed: int = 0) -> Iterator[float]:
    """Yield when the requests of one process are due, in seconds since the start, without end.

    Parameters
    ----------
    rate : float
        Requests a second of all processes together.
    arrivals : {"poisson", "constant"}
        At random, independently of each other; or one as long after the other. Several processes share both: constant
        ones take turns, and random ones that add up are as random.
    part, parts : int
        Which process, of how many.
    seed : int
    """
    if arrivals == "constant":
        for number in count(part, parts):
            yield number / rate
    # Of several processes, each its own stream of numbers.
    random, now_s = Random(f"{seed} {part}"), 0.0  # noqa: S311 - no secret
    while True:
        now_s += random.expovariate(rate / parts)
        yield now_s
