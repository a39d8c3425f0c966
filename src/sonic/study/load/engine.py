"""The clients of one process: they send when they are to, and what ends is counted."""

from __future__ import annotations

import time
from collections import deque
from itertools import cycle
from typing import TYPE_CHECKING

from sonic.study.load.lines import clock
from sonic.study.load.schedule import LATE_S, PAUSE_S
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from sonic.study.load.lines import Line, Lines
    from sonic.study.load.settings import LoadSettings

MOST_UNDER_WAY = 512
"""Requests of an open loop, in one process; what is due beyond that waits, and is late."""


_TICK_S = 1e-3
"""The loop's timers go by milliseconds: by what one pause is too short or too long, the next is longer or shorter."""


class Engine:
    """Sends, and counts.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    lines : Lines
    sizes : sequence of (int, int)
        Rows, and bytes of tensors, of each request that `lines` can send.
    settings : LoadSettings
    clients : int
        Of a closed loop; 0: an open loop, whose requests :meth:`due` sends.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lines: Lines,
        sizes: Sequence[tuple[int, int]],
        settings: LoadSettings,
        clients: int = 0,
        clock: Callable[[], float] = clock,
    ) -> None:
        self._loop = loop
        self._lines = lines
        self._settings = settings
        self._sizes = sizes
        self._clock = clock
        self._numbers = cycle(range(len(sizes)))
        self._clients = [_Client(self, lines.line(), clock) for _ in range(clients)]
        self._free: list[_Client] = []
        self._waiting: deque[float] = deque()
        self._stopped = False
        self._tally, self._latencies_s = Tally(), list[float]()
        self._cut_s, self._cpu_s = clock(), time.process_time()

    def start(self) -> None:
        """Begin to send."""
        self._cut_s, self._cpu_s = self._clock(), time.process_time()
        for client in self._clients:
            client.send(self._clock())
        self._sweep()

    def cut(self) -> Tally:
        """Return what was counted since the last cut."""
        tally, self._tally = self._tally, Tally()
        tally.latencies.add(self._latencies_s)
        self._latencies_s.clear()
        now_s, cpu_s = self._clock(), time.process_time()
        tally.duration_s, tally.cpu_s = now_s - self._cut_s, cpu_s - self._cpu_s
        self._cut_s, self._cpu_s = now_s, cpu_s
        return tally

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True

    def due(self, due_s: float) -> None:
        """Send a request of an open loop, as soon as there is a way for it; its latency counts from when it was due."""
        if self._stopped:
            return
        if not self._free and len(self._clients) < MOST_UNDER_WAY:
            self._clients.append(_Client(self, self._lines.line(), self._clock))
            self._free.append(self._clients[-1])
        if self._free:
            self._send_late(self._free.pop(), due_s)
        else:
            self._waiting.append(due_s)

    def _send_late(self, client: _Client, due_s: float) -> None:
        self._tally.late += self._clock() - due_s > LATE_S
        client.send(due_s)

    # ---- clients ----

    def next_number(self) -> int:
        """Say which request is sent next."""
        return next(self._numbers)

    def ended(self, client: _Client, number: int, error: str, received: int, at_s: float) -> None:
        """Count an end, and have the client go on."""
        tally = self._tally
        if error:
            tally.errors += 1
            tally.error = tally.error or error
        else:
            rows, sent = self._sizes[number]
            tally.requests += 1
            tally.rows += rows
            tally.bytes_sent += sent
            tally.bytes_received += received
            self._latencies_s.append(at_s - client.due_s)
        if self._stopped:
            return
        if self._settings.rate is not None:
            if self._waiting:
                self._send_late(client, self._waiting.popleft())
            else:
                self._free.append(client)
        elif error or self._settings.think_s:
            pause_s = max(PAUSE_S, self._settings.think_s) if error else self._settings.think_s
            due_s = at_s + pause_s + client.owed_s
            self._loop.call_later(max(0.0, due_s - self._clock()), self._go_on, client, due_s)
        else:
            client.send(at_s)

    def _go_on(self, client: _Client, due_s: float) -> None:
        if not self._stopped:  # or it would connect while all is closed
            now_s = self._clock()
            client.owed_s = min(max(due_s - now_s, -_TICK_S), _TICK_S)
            client.send(now_s)

    def _sweep(self) -> None:
        """Give up what takes too long; one look at all costs less than a timer each."""
        timeout_s = self._settings.timeout_s
        now_s = self._clock()
        for client in self._clients:
            if client.sent_s is not None and now_s - client.sent_s > timeout_s:
                client.line.give_up(f"no answer within {timeout_s:g} s")
        if not self._stopped:
            self._loop.call_later(min(timeout_s / 4, 1.0), self._sweep)


class _Client:
    """One request at a time."""

    __slots__ = ("_clock", "_engine", "_number", "due_s", "line", "owed_s", "sent_s")

    def __init__(self, engine: Engine, line: Line, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._number = 0
        self.line = line
        self.due_s = self.owed_s = 0.0
        self.sent_s: float | None = None

    def send(self, due_s: float) -> None:
        self.due_s = due_s
        self.sent_s = self._clock()
        self._number = self._engine.next_number()
        self.line.send(self._number, self._done)

    def _done(self, error: str, received: int, at_s: float) -> None:
        self.sent_s = None
        self._engine.ended(self, self._number, error, received, at_s)
