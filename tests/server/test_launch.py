from __future__ import annotations

import os
import signal
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from sonic.server import launch

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fake:
    def __init__(self, drains: bool = True) -> None:
        self.drains = drains
        self.closed: list[float] = []
        self.retired: list[Any] = []

    def retire(self) -> None:
        self.retired.append(self.closed.copy())

    def close(self, drain_s: float) -> bool:
        self.closed.append(drain_s)
        return self.drains


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(server: Any, started: Any, **options: Any) -> tuple[bool, list[str]]:
    reasons: list[str] = []
    return launch.run(lambda: server, started, reasons.append, drain_s=7.0, **options), reasons


@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals, drains: bool) -> None:
    server = Fake(drains)
    assert run(server, lambda _: signal.raise_signal(number)) == (drains, [number.name])
    assert server.closed == [7.0]


def test_notice_is_given_before_a_drain() -> None:
    server = Fake()
    assert run(server, lambda _: signal.raise_signal(signal.SIGTERM), notice_s=1e-9) == (True, ["SIGTERM"])
    assert (server.retired, server.closed) == ([[]], [7.0])


def test_nobody_is_given_notice_who_asks_for_the_end_at_a_terminal() -> None:
    server = Fake()
    run(server, lambda _: signal.raise_signal(signal.SIGINT), notice_s=1e6)
    assert (server.retired, server.closed) == ([], [7.0])


@pytest.mark.parametrize("notice_s", [1e6, float("inf")])
def test_the_end_of_standard_input_ends_the_notice(monkeypatch: pytest.MonkeyPatch, notice_s: float) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(reader))
    server = Fake()
    monkeypatch.setattr(server, "retire", lambda: os.close(writer))
    run(server, lambda _: signal.raise_signal(signal.SIGTERM), notice_s=notice_s, watch_stdin=True)
    assert server.closed == [7.0]


def test_a_signal_while_it_starts() -> None:
    server, reasons = Fake(), []

    def start() -> Any:
        signal.raise_signal(signal.SIGTERM)
        return server

    assert launch.run(start, lambda _: None, reasons.append, drain_s=1.0)
    assert (server.closed, reasons) == ([1.0], ["SIGTERM"])


def test_the_end_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"anything")
    os.close(writer)
    server = Fake()
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run(server, lambda _: None, watch_stdin=True) == (True, ["standard input closed"])


def test_the_end_of_standard_input_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    cut_off: SimpleQueue[int] = SimpleQueue()
    monkeypatch.setattr(launch, "_LATE_S", -7.0)  # which leaves nothing of the drain
    monkeypatch.setattr(os, "_exit", cut_off.put)
    server = Fake()

    def start() -> Any:
        os.close(writer)
        assert cut_off.get(timeout=10) == 1  # it takes too long, and nobody is left to end it
        return server

    with os.fdopen(reader) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert launch.run(start, lambda _: None, lambda _: None, drain_s=7.0, watch_stdin=True)
    assert server.closed == [7.0]


def test_an_end_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off: SimpleQueue[int] = SimpleQueue()
    monkeypatch.setattr(launch, "_LATE_S", -7.0)
    monkeypatch.setattr(os, "_exit", cut_off.put)

    class Hangs(Fake):
        def close(self, drain_s: float) -> bool:
            assert cut_off.get(timeout=10) == 1
            return super().close(drain_s)

    assert run(Hangs(), lambda _: signal.raise_signal(signal.SIGTERM)) == (True, ["SIGTERM"])


def test_standard_input_that_is_closed_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    server = Fake()
    assert run(server, lambda _: None, watch_stdin=True) == (True, ["standard input closed"])
    assert server.closed == [7.0]


def test_no_socket_takes_the_place_of_a_closed_standard_input() -> None:
    kept = os.dup(0)
    try:
        os.close(0)
        run(Fake(), lambda _: signal.raise_signal(signal.SIGTERM))
        assert os.path.samestat(os.fstat(0), Path(os.devnull).stat())
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    send, changed, raised = signal.raise_signal, [], []

    def draining(_: str) -> None:
        monkeypatch.setattr("signal.signal", lambda *change: changed.append(change))
        monkeypatch.setattr("signal.raise_signal", raised.append)
        send(signal.SIGTERM)
        monkeypatch.undo()

    launch.run(Fake, lambda _: send(signal.SIGTERM), draining, drain_s=1.0)
    assert changed == [(signal.SIGTERM, signal.SIG_DFL)]
    assert raised == [signal.SIGTERM]


def test_trouble_after_the_start_closes_the_server() -> None:
    server = Fake()

    def started(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(server, started)
    assert server.closed == [7.0]
