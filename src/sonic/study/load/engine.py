"""The clients of one process: they send when they are to, and what ends is counted."""

from __future__ import annotations

import time
from collections import deque
from itertools import cycle
from threading import Event, Thread
from typing import TYPE_CHECKING

from sonic.study.load.lines import clock
from sonic.study.load.schedule import LATE_S, due_times_s
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from sonic.study.load.lines import Line, Lines
    from sonic.study.load.settings import LoadSettings

PAUSE_S = 0.1
"""Of a client after an error: a server that refuses at once is not to be stormed."""

MOST_UNDER_WAY = 512
"""Requests of an open loop, in one process; what is due beyond that waits, and is late."""


class Engine:
    """Sends, and counts.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    lines : Lines
    sizes : sequence of (int, int)
        Rows, and bytes of tensors, of each request that `lines` can send.
    settings : LoadSettings
    part, parts : int
        Which of the processes this is.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lines: Lines,
        sizes: Sequence[tuple[int, int]],
        settings: LoadSettings,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self._loop = loop
        self._lines = lines
        self._sizes = sizes
        self._settings = settings
        self._numbers = cycle(range(len(sizes)))
        self._clients: list[_Client] = []
        self._open = settings.rate is not None
        self._free: list[_Client] = []
        self._waiting: deque[float] = deque()
        self._ended = Event()
        self._tally, self._latencies_s = Tally(), list[float]()
        self._cut_s, self._cpu_s = clock(), time.process_time()
        self._own = settings.clients // parts + (part < settings.clients % parts)
        self._due_s: Iterator[float] | None = None
        if settings.rate is not None:
            self._due_s = due_times_s(settings.rate, settings.arrivals, part=part, parts=parts, seed=settings.seed)

    def start(self) -> None:
        """Begin to send."""
        self._cut_s, self._cpu_s = clock(), time.process_time()
        if self._due_s is None:
            self._clients = [_Client(self, self._lines.line()) for _ in range(self._own)]
            for client in self._clients:
                client.send(clock())
        else:
            Thread(target=self._pace, args=(self._due_s, clock()), name="sonic-pace", daemon=True).start()
        self._sweep()

    def cut(self) -> Tally:
        """Return what was counted since the last cut."""
        tally, self._tally = self._tally, Tally()
        tally.latencies.add(self._latencies_s)
        self._latencies_s.clear()
        now_s, cpu_s = clock(), time.process_time()
        tally.duration_s, tally.cpu_s = now_s - self._cut_s, cpu_s - self._cpu_s
        self._cut_s, self._cpu_s = now_s, cpu_s
        return tally

    def stop(self) -> None:
        """Send nothing more."""
        self._ended.set()

    # ---- an open loop: a thread, since the loop's own timers are as coarse as a millisecond ----

    def _pace(self, due_times_s: Iterator[float], start_s: float) -> None:
        for offset_s in due_times_s:
            left_s = start_s + offset_s - clock()
            if left_s > 0:
                time.sleep(min(left_s, PAUSE_S)) if left_s <= PAUSE_S else self._ended.wait(left_s)
            if self._ended.is_set():
                return
            self._loop.call_soon_threadsafe(self._due, start_s + offset_s)

    def _due(self, due_s: float) -> None:
        if not self._free and len(self._clients) < MOST_UNDER_WAY:
            self._clients.append(_Client(self, self._lines.line()))
            self._free.append(self._clients[-1])
        if self._free:
            self._send_late(self._free.pop(), due_s)
        else:
            self._waiting.append(due_s)

    def _send_late(self, client: _Client, due_s: float) -> None:
        self._tally.late += clock() - due_s > LATE_S
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
        if self._ended.is_set():
            return
        if self._open:
            if self._waiting:
                self._send_late(client, self._waiting.popleft())
            else:
                self._free.append(client)
        elif error or self._settings.think_s:
            pause_s = max(PAUSE_S, self._settings.think_s) if error else self._settings.think_s
            self._loop.call_later(pause_s, lambda: client.send(clock()))
        else:
            client.send(at_s)

    def _sweep(self) -> None:
        """Give up what takes too long; one look at all costs less than a timer each."""
        timeout_s = self._settings.timeout_s
        now_s = clock()
        for client in self._clients:
            if client.sent_s is not None and now_s - client.sent_s > timeout_s:
                client.line.give_up(f"no answer within {timeout_s:g} s")
        if not self._ended.is_set():
            self._loop.call_later(min(timeout_s / 4, 1.0), self._sweep)


class _Client:
    """One request at a time."""

    __slots__ = ("_engine", "_number", "due_s", "line", "sent_s")

    def __init__(self, engine: Engine, line: Line) -> None:
        self._engine = engine
        self._number = 0
        self.line = line
        self.due_s = 0.0
        self.sent_s: float | None = None

    def send(self, due_s: float) -> None:
        self.due_s = due_s
        self.sent_s = clock()
        self._number = self._engine.next_number()
        self.line.send(self._number, self._done)

    def _done(self, error: str, received: int, at_s: float) -> None:
        self.sent_s = None
        self._engine.ended(self, self._number, error, received, at_s)
