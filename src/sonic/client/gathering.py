"""A call that is too large for one request."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from sonic.client.arrays import join
from sonic.client.promise import as_inference_error, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy as np

    from sonic.client.promise import Promise
    from sonic.client.router import Router

    Arrays = dict[str, np.ndarray[Any, Any]]

WINDOW = 32
"""Most requests of one call in flight."""


class Gathering:
    """The requests of one call, a window of them in flight, put together in order.

    Parameters
    ----------
    parts : sequence of dict of str to ndarray
        Inputs of each request.
    send : callable
        Sends one request and returns its future.
    promise : Promise
        Ends in the joined outputs, or in the first error; the other requests are then given up.
    router : Router
        Runs what must not run in a transport's thread.
    """

    def __init__(
        self,
        parts: Sequence[Arrays],
        send: Callable[[Arrays], Future[Arrays]],
        promise: Promise[Arrays],
        router: Router,
    ) -> None:
        self._parts = parts
        self._send = send
        self._promise = promise
        self._router = router
        self._lock = Lock()
        self._next = 0
        self._done = 0
        self._outputs: list[Arrays | None] = [None] * len(parts)
        self._in_flight: set[Future[Arrays]] = set()
        promise.on_end(lambda _: self._give_up())

    def go(self) -> None:
        """Send the first window; the end of each request sends another."""
        for _ in range(min(WINDOW, len(self._parts))):
            self._send_next()

    def _send_next(self) -> None:
        with self._lock:
            position = self._next
            self._next += 1
        if position >= len(self._parts) or self._promise.ended:
            return
        sent = self._send(self._parts[position])
        with self._lock:
            self._in_flight.add(sent)
        sent.add_done_callback(lambda ended: self._ended(position, ended))
        if self._promise.ended:
            self._give_up()

    def _ended(self, position: int, ended: Future[Arrays]) -> None:
        with self._lock:
            self._in_flight.discard(ended)
        failure = failure_of(ended)
        if failure is not None:
            self._promise.reject(failure)
            return
        self._outputs[position] = ended.result()
        with self._lock:
            self._done += 1
            last = self._done == len(self._parts)
            more = self._next < len(self._parts)
        if last:
            self._finish([outputs for outputs in self._outputs if outputs is not None])
        elif more:
            # Not here: this may be the thread that brings the answers of a connection.
            self._router.background(self._send_next, self._promise)

    def _finish(self, parts: Sequence[Arrays]) -> None:
        try:
            self._promise.resolve(join(parts))
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            self._promise.reject(as_inference_error(error))

    def _give_up(self) -> None:
        with self._lock:
            in_flight = list(self._in_flight)
        for sent in in_flight:
            sent.cancel()
