"""The processes of a load: started, begun at one moment, heard, and ended, whatever happens to them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Protocol, Self

from sonic.errors import ProcessLost, SonicError, one_line
from sonic.framework.processes import interrupts
from sonic.study.load.lines import clock
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_START_S, _START_EACH_S = 60.0, 10.0
"""For all to be ready: what they import, on few cores."""

_SILENCE_S = 20.0
"""After which a process that should report has been lost."""

_END_S = 3.0
_AHEAD_S = 0.05
"""From the word to begin until all begin: the word must have come."""


class Work(Protocol):
    """What one process does. It is pickled to it."""

    def prepare(self) -> Runner:
        """Make ready, in that process; nothing is sent yet.

        Raises
        ------
        SonicError
            If it cannot be done.
        """


class Runner(Protocol):
    """Work that is ready."""

    def run(self, orders: Orders) -> None:
        """Do it from ``orders.start_s`` on and report slices, until the connection is readable: the parent has gone."""


@dataclass(frozen=True)
class Orders:
    """What a process is told, and its way to tell its parent.

    Parameters
    ----------
    connection : Connection
    start_s : float
        When to begin, by the clock of the machine.
    slice_s : float
        How often to report.
    """

    connection: Connection
    start_s: float
    slice_s: float

    def report(self, tally: Tally) -> None:
        """Tell what was counted in the next slice."""
        with suppress(OSError):  # the parent has gone
            self.connection.send(tally)


@dataclass(frozen=True)
class _Failed:
    reason: str


class Crew:
    """Processes that do work at the same time. They live between `with` and its end.

    Parameters
    ----------
    works : sequence of Work
        Of one process each.
    """

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = works
        self._context = get_context("spawn")  # a forked child would have the parent's threads' locks, and no threads
        self._processes: list[SpawnProcess] = []
        self._connections: list[Connection] = []

    def __enter__(self) -> Self:
        try:
            for work in self._works:
                self._start(work)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def slices(self, slice_s: float) -> Iterator[Tally]:
        """Wait until all are ready; return an iterator, without end, over what all count in each slice.

        They begin when the first slice is asked for.

        Raises
        ------
        SonicError
            If one cannot make ready; with its reason.
        ProcessLost
            If one dies, or no longer reports; from the iterator too.
        """
        for connection in self._connections:
            if not connection.poll(_START_S + _START_EACH_S * len(self._works)):
                raise ProcessLost(f"{self._name(connection)} did not become ready")
            self._receive(connection)
        return self._slices(slice_s)

    def _slices(self, slice_s: float) -> Iterator[Tally]:
        start_s = clock() + _AHEAD_S
        for connection in self._connections:
            with suppress(OSError):  # it has ended, as will be heard
                connection.send((start_s, slice_s))
        heard: dict[Connection, list[Tally]] = {connection: [] for connection in self._connections}
        heard_s = dict.fromkeys(self._connections, start_s)
        while True:
            # One that has frozen must not stay unseen because the others go on reporting.
            last = min(self._connections, key=lambda connection: heard_s[connection])
            until_s = heard_s[last] + slice_s + _SILENCE_S
            ready = wait(self._connections, timeout=max(0.0, until_s - clock()))
            if last not in ready and clock() >= until_s:
                raise ProcessLost(f"{self._name(last)} was silent for {_SILENCE_S:g} s")
            for connection, queue in heard.items():
                if connection in ready:
                    queue.append(self._receive(connection))
                    heard_s[connection] = clock()
            while all(heard.values()):
                total = Tally()
                for queue in heard.values():
                    total.beside(queue.pop(0))
                yield total

    def _receive(self, connection: Connection) -> Tally:
        try:
            message = connection.recv()
        except (EOFError, OSError) as error:
            process = self._processes[self._connections.index(connection)]
            process.join(_END_S)
            raise ProcessLost(f"{self._name(connection)} ended with status {process.exitcode}") from error
        if isinstance(message, _Failed):
            raise SonicError(message.reason)
        assert isinstance(message, Tally)  # noqa: S101 - it says nothing else
        return message

    def _name(self, connection: Connection) -> str:
        return f"process {self._connections.index(connection) + 1} of {len(self._works)} of the load"

    def _start(self, work: Work) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_main, args=(there, work), name="sonic-load")
        try:
            interrupts.start(process)
        finally:
            there.close()
        self._processes.append(process)
        self._connections.append(here)

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()
        until_s = clock() + _END_S
        for process in self._processes:
            process.join(max(0.0, until_s - clock()))
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _main(connection: Connection, work: Work) -> None:
    interrupts.ignore()
    try:
        runner = work.prepare()
        connection.send(Tally())
        start_s, slice_s = connection.recv()
        runner.run(Orders(connection, start_s, slice_s))
    except (EOFError, BrokenPipeError):  # the parent has gone
        return
    except Exception as error:  # noqa: BLE001 - told to the parent
        with suppress(OSError):
            connection.send(_Failed(one_line(error)))
