"""Signs of life of servers: when each last gave one, and how to ask for one."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from sonic.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sonic.client.deadline import Timer
    from sonic.client.transport import Transport


class Signs:
    """Knows when servers were heard of. Thread-safe.

    Parameters
    ----------
    transports : mapping of str to Transport
        By their URLs.
    timer : Timer
    run : callable
        Runs a task that may block, in the background; False if it does not.
    """

    def __init__(
        self, transports: Mapping[str, Transport], timer: Timer, run: Callable[[Callable[[], None]], bool]
    ) -> None:
        self._transports = transports
        self._timer = timer
        self._run = run
        self._heard_s: dict[str, float] = {}
        self._probed: set[str] = set()
        self._lock = Lock()

    def heard(self, url: str, now_s: float) -> None:
        """Note that a server gave one."""
        self._heard_s[url] = now_s

    def heard_s(self, url: str) -> float:
        """When the server last gave one."""
        return self._heard_s.get(url, float("-inf"))

    def probe(self, url: str, model: str, timeout_s: float) -> None:
        """Ask a server for one, unless that is under way. Whatever it answers, it lives."""
        transport = self._transports.get(url)
        with self._lock:
            if transport is None or url in self._probed:
                return
            self._probed.add(url)

        def ask() -> None:
            # Longer than anybody waits for it: running into this limit must not pass for an answer.
            asked_s, limit_s = self._timer.now_s(), 2 * timeout_s + 1
            try:
                with suppress(InferenceError):
                    transport.model_spec(model, timeout_s=limit_s)
            finally:  # else, after any other error, it would never be asked again
                with self._lock:
                    self._probed.discard(url)
            now_s = self._timer.now_s()
            if now_s < asked_s + timeout_s:
                self.heard(url, now_s)

        if not self._run(ask):
            with self._lock:
                self._probed.discard(url)
