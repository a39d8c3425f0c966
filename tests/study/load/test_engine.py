"""The engine on a clock of the test's own, with lines that answer when the test says so."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest

from sonic.study.histogram import quantile
from sonic.study.load import engine as engines
from sonic.study.load.engine import Engine
from sonic.study.load.schedule import PAUSE_S
from sonic.study.load.settings import LoadSettings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sonic.study.load.lines import Done


class Loop:
    """Time that passes when it is told to; timers go by `tick_s`, if that is given."""

    def __init__(self, tick_s: float = 0.0) -> None:
        self.now_s = 100.0
        self._tick_s = tick_s
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        if self._tick_s:
            delay_s = self._tick_s * round(delay_s / self._tick_s)
        heapq.heappush(self._later, (self.now_s + delay_s, next(self._number), lambda: call(*arguments)))

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self._later and self._later[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(self._later)
            call()
        self.now_s = until_s


class Lines:
    """Lines that answer after a time, or an error."""

    def __init__(self, loop: Loop, takes_s: float = 0.01, error: str = "") -> None:
        self.loop, self.takes_s, self.error = loop, takes_s, error
        self.sent: list[int] = []
        self.made = 0
        self.under_way = self.most_under_way = 0

    def line(self) -> Line:
        self.made += 1
        return Line(self)

    def close(self) -> None:
        pass


class Line:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._done: Done | None = None

    def send(self, number: int, done: Done) -> None:
        lines = self._lines
        lines.sent.append(number)
        lines.under_way += 1
        lines.most_under_way = max(lines.most_under_way, lines.under_way)
        self._done = done
        lines.loop.call_later(lines.takes_s, self._end, done, lines.error)

    def give_up(self, reason: str) -> None:
        if self._done is not None:
            self._end(self._done, reason)

    def _end(self, done: Done, error: str) -> None:
        if self._done is done:
            self._done = None
            self._lines.under_way -= 1
            done(error, 0 if error else 40, self._lines.loop.now_s)


def make(lines: Lines, clients: int = 0, sizes: tuple[tuple[int, int], ...] = ((2, 8),), **settings: Any) -> Engine:
    loop = lines.loop
    load = LoadSettings(clients=max(clients, 1), **settings)
    return Engine(cast("asyncio.AbstractEventLoop", loop), lines, sizes, load, clients, loop.time)


def test_each_client_sends_when_it_has_its_answer() -> None:
    lines = Lines(Loop(), takes_s=0.25)
    engine = make(lines, 3)
    engine.start()
    lines.loop.run(2.0)
    tally = engine.cut()
    assert lines.most_under_way == lines.made == 3
    assert (tally.requests, tally.errors, tally.late) == (24, 0, 0)
    assert (tally.rows, tally.bytes_sent, tally.bytes_received) == (48, 192, 960)
    assert tally.duration_s == 2.0
    assert tally.latencies.mean_s == pytest.approx(0.25)


def test_a_cut_begins_anew() -> None:
    lines = Lines(Loop(), takes_s=0.25)
    engine = make(lines, 1)
    engine.start()
    lines.loop.run(1.0)
    assert engine.cut().requests == 4
    lines.loop.run(0.5)
    tally = engine.cut()
    assert (tally.requests, tally.duration_s) == (2, 0.5)


def test_clients_think() -> None:
    lines = Lines(Loop(), takes_s=0.25)
    engine = make(lines, 2, think_s=0.75)
    engine.start()
    lines.loop.run(3.9)
    tally = engine.cut()
    assert tally.requests == 8
    assert tally.latencies.mean_s == pytest.approx(0.25)


@pytest.mark.parametrize("think_s", [0.0002, 0.0004, 0.0016, 0.0125])
def test_clients_think_as_long_as_they_should_on_average_whatever_timers_can_do(think_s: float) -> None:
    lines = Lines(Loop(tick_s=1e-3), takes_s=0.01)
    engine = make(lines, 1, think_s=think_s)
    engine.start()
    lines.loop.run(10.0)
    assert engine.cut().requests == pytest.approx(10 / (0.01 + think_s), rel=0.002)


def test_a_pause_that_the_loop_made_far_too_long_is_not_made_up_for() -> None:
    lines = Lines(Loop(tick_s=1.0), takes_s=1.0)
    engine = make(lines, 1, think_s=0.6)
    engine.start()
    lines.loop.run(100.0)
    assert engine.cut().requests == 50


def test_requests_take_turns_and_have_their_sizes() -> None:
    lines = Lines(Loop(), takes_s=0.25)
    engine = make(lines, 1, ((1, 10), (2, 20), (3, 30)))
    engine.start()
    lines.loop.run(1.0)
    assert lines.sent == [0, 1, 2, 0, 1]
    assert engine.cut().rows == 1 + 2 + 3 + 1


def test_after_an_error_a_client_pauses() -> None:
    lines = Lines(Loop(), takes_s=0.001, error="it is full")
    engine = make(lines, 1)
    engine.start()
    lines.loop.run(10.0)
    tally = engine.cut()
    assert (tally.requests, tally.rows, tally.error) == (0, 0, "it is full")
    assert tally.errors == pytest.approx(10.0 / PAUSE_S, rel=0.05)
    assert tally.latencies.count == 0


def test_what_takes_too_long_is_given_up() -> None:
    lines = Lines(Loop(), takes_s=1000.0)
    engine = make(lines, 2, timeout_s=2.0)
    engine.start()
    lines.loop.run(4.0)
    tally = engine.cut()
    assert (tally.requests, tally.errors, tally.error) == (0, 2, "no answer within 2 s")
    assert lines.under_way == 2


def test_when_it_is_stopped_nothing_more_is_sent() -> None:
    lines = Lines(Loop(), takes_s=0.25)
    engine = make(lines, 2)
    engine.start()
    engine.stop()
    lines.loop.run(5.0)
    engine.due(lines.loop.now_s)
    assert len(lines.sent) == 2


def due(engine: Engine, loop: Loop, *offsets_s: float) -> None:
    for offset_s in offsets_s:
        loop.call_later(offset_s, engine.due, loop.now_s + offset_s)


@pytest.mark.parametrize("settings", [{"think_s": 0.1}, {}])
def test_when_it_is_stopped_those_that_paused_send_nothing_more(settings: dict[str, float]) -> None:
    lines = Lines(Loop(), error="" if settings else "no connection")
    engine = make(lines, clients=3, **settings)
    engine.start()
    lines.loop.run(0.02)  # all pause
    engine.stop()
    sent = len(lines.sent)
    lines.loop.run(10.0)
    assert len(lines.sent) == sent


def test_an_open_loop_waits_for_no_answer() -> None:
    lines = Lines(Loop(), takes_s=1.0)
    engine = make(lines, rate=10.0)
    engine.start()
    due(engine, lines.loop, *(0.1 * i for i in range(20)))
    lines.loop.run(5.0)
    tally = engine.cut()
    assert tally.requests == 20
    assert lines.most_under_way == lines.made in (10, 11)
    assert tally.late == 0


def test_latency_counts_from_when_a_request_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that stands still for a second: one request takes that long, and those that were due meanwhile wait.
    monkeypatch.setattr(engines, "MOST_UNDER_WAY", 1)
    lines = Lines(Loop(), takes_s=1.0)
    engine = make(lines, rate=100.0)
    engine.start()
    due(engine, lines.loop, *(0.01 * i for i in range(100)))
    lines.loop.run(0.5)
    lines.takes_s = 0.0
    lines.loop.run(5.0)
    tally = engine.cut()
    assert tally.requests == 100
    assert tally.late == 99
    latencies = tally.latencies.latencies()
    assert latencies is not None
    assert latencies.mean_s == pytest.approx(0.5, abs=0.02)
    assert quantile(latencies, 0.9) == pytest.approx(0.9, rel=0.03)


def test_a_request_that_is_sent_late_is_counted_so() -> None:
    lines = Lines(Loop())
    engine = make(lines, rate=10.0)
    engine.start()
    engine.due(lines.loop.now_s - 0.0005)
    engine.due(lines.loop.now_s - 0.5)
    lines.loop.run(1.0)
    tally = engine.cut()
    assert (tally.requests, tally.late) == (2, 1)
    assert tally.latencies.mean_s == pytest.approx((0.0105 + 0.51) / 2)
