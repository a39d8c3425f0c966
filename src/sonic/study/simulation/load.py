"""Who sends requests on virtual time, apart from jobs: a closed loop, and an open one. Pure."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from sonic.study.load.schedule import PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sonic.errors import InferenceError
    from sonic.study.simulation.client import Request, VirtualRouter
    from sonic.study.simulation.clock import Clock

    # What is told of each request that has ended: rows, when it was sent, how it ended.
    Tell = Callable[[int, float, InferenceError | None], object]


class ClosedLoop:
    """A client that has so many requests under way, and sends the next one when one has ended; after an error, later.

    Parameters
    ----------
    clock : Clock
    router : VirtualRouter
    request : Request
    tell : callable
    in_flight : int
    think_s : float
        Between an answer and the next request, on average.
    constant : bool
        Whether each such pause is as long; else they are distributed exponentially.
    timeout_s : float or None
        Deadline of a request.
    from_s, until_s : float
        When it begins, and when it sends no more.
    random : random.Random
    """

    def __init__(
        self,
        clock: Clock,
        router: VirtualRouter,
        request: Request,
        tell: Tell,
        random: Random,
        *,
        in_flight: int = 1,
        think_s: float = 0.0,
        constant: bool = False,
        timeout_s: float | None = None,
        from_s: float = 0.0,
        until_s: float = inf,
    ) -> None:
        self._clock = clock
        self._router = router
        self._request = request
        self._tell = tell
        self._random = random
        self._think_s = think_s
        self._constant = constant
        self._timeout_s = timeout_s
        self._until_s = until_s
        for _ in range(in_flight):
            clock.after(from_s, self._think)

    def _think(self, least_s: float = 0.0) -> None:
        drawn = self._think_s > 0 and not self._constant
        pause_s = self._random.expovariate(1 / self._think_s) if drawn else self._think_s
        self._clock.after(max(least_s, pause_s), self._send)

    def _send(self) -> None:
        if self._clock.now_s() < self._until_s:
            self._router.send(self._request, self._timeout_s, self._ended)

    def _ended(self, sent_s: float, error: InferenceError | None) -> None:
        self._tell(self._request.rows, sent_s, error)
        if error is not None:
            self._think(PAUSE_S)
        elif self._think_s:
            self._think()
        else:
            self._send()


def arrive(
    clock: Clock,
    router: VirtualRouter,
    request: Request,
    tell: Tell,
    random: Random,
    *,
    rate: float,
    constant: bool = False,
    timeout_s: float | None = None,
) -> None:
    """Send requests at a rate, whatever becomes of those before.

    Parameters
    ----------
    rate : float
        Requests a second.
    constant : bool
        Whether they are sent in equal steps; else their number is Poisson's.
    timeout_s : float or None
        Deadline of a request.
    """

    def wait() -> None:
        clock.after(1 / rate if constant else random.expovariate(rate), send)

    def send() -> None:
        wait()
        router.send(request, timeout_s, partial(tell, request.rows))

    wait()
