"""Servers asked, side by side, which models they have."""

from __future__ import annotations

from functools import partial
from threading import Condition
from typing import TYPE_CHECKING

from sonic.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Lock

    from sonic.client.catalogue import Catalogue
    from sonic.client.deadline import Timer
    from sonic.client.transport import Transport
    from sonic.protocol.messages import ModelStatus


class Discovery:
    """Fills a catalogue with what servers say. Thread-safe.

    Parameters
    ----------
    transports : mapping of str to Transport
        By their URLs.
    catalogue : Catalogue
    silence_s : float
        How long an answer is waited for.
    timer : Timer
    lock : Lock
        Guards the catalogue.
    run : callable
        Runs a task that may block, in the background.
    """

    def __init__(
        self,
        transports: Mapping[str, Transport],
        catalogue: Catalogue,
        silence_s: float,
        timer: Timer,
        lock: Lock,
        run: Callable[[Callable[[], None]], bool],
    ) -> None:
        self._transports = transports
        self._catalogue = catalogue
        self._silence_s = silence_s
        self._timer = timer
        self._told = Condition(lock)
        self._run = run
        self._unasked: set[str] = set()
        self._closed = False

    def begin(self, *, again: bool = False) -> None:
        """Have every server asked, unless that was done; `again` once in a while."""
        if len(self._transports) < 2:
            return
        now_s = self._timer.now_s()
        with self._told:
            if self._closed or not self._catalogue.due(now_s, again=again):
                return
            self._unasked = set(self._transports)
        for url in self._transports:
            self._run(partial(self._ask, url))

    def await_server_of(self, model: str, left_s: float | None) -> None:
        """Wait until a server says that it has the model, or all have said what they have; not for long."""
        limit_s = self._silence_s if left_s is None else min(self._silence_s, left_s / 4)
        with self._told:
            self._told.wait_for(
                lambda: not self._unasked or any(self._catalogue.has(url, model) for url in self._transports), limit_s
            )

    def close(self) -> None:
        """Ask no more, and let nobody wait."""
        with self._told:
            self._closed = True
            self._unasked = set()
            self._told.notify_all()

    def _ask(self, url: str) -> None:
        error: InferenceError | None = None
        rows: Sequence[ModelStatus] = ()
        try:
            rows = self._transports[url].models(self._silence_s)
        except InferenceError as failure:
            error = failure
        now_s = self._timer.now_s()
        with self._told:
            if error is None:
                self._catalogue.listed(url, (row.name for row in rows if row.state == "READY"), now_s)
            elif error.retryable:
                self._catalogue.refused(url, now_s)
            self._unasked.discard(url)
            self._told.notify_all()
