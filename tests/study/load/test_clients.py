"""The work of a process, done in this one."""

from __future__ import annotations

from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

import pytest

from sonic.client.url import parse_server
from sonic.errors import ConfigError
from sonic.study.load import clients
from sonic.study.load.clients import Clients
from sonic.study.load.crew import Orders
from sonic.study.load.inputs import RandomInputs
from sonic.study.load.lines import clock
from sonic.study.load.settings import LoadSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from sonic.server.app import Server
    from sonic.study.load.tally import Tally


def work(server: Server, **settings: Any) -> Clients:
    spec = server.dataplane.model_spec("echo")
    return Clients(parse_server(server.grpc_url), spec, RandomInputs(), LoadSettings(**settings))


class Parent:
    """The other end: it goes after so many slices."""

    def __init__(self, slices: int) -> None:
        self._here, there = Pipe()
        self.heard: list[Tally] = []
        self._slices = slices
        self.orders = Heard(there, clock(), 0.05, self)

    def hear(self, tally: Tally) -> None:
        self.heard.append(tally)
        if len(self.heard) == self._slices:
            self._here.close()


class Heard(Orders):
    def __init__(self, connection: Connection, start_s: float, slice_s: float, parent: Parent) -> None:
        super().__init__(connection, start_s, slice_s)
        object.__setattr__(self, "parent", parent)

    def report(self, tally: Tally) -> None:
        self.parent.hear(tally)  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{"clients": 3}, {"rate": 200.0}])
def test_it_reports_until_its_parent_goes(server: Server, settings: dict[str, Any]) -> None:
    parent = Parent(3)
    work(server, **settings).prepare().run(parent.orders)
    assert len(parent.heard) >= 3
    assert sum(tally.requests for tally in parent.heard) > 0
    assert all(tally.duration_s > 0 for tally in parent.heard)


def test_what_breaks_in_the_loop_is_raised(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(clients.GrpcLines):
        def line(self) -> Any:
            for _ in range(2):  # and more, before the loop has stopped
                self._loop.call_soon(int, "no number")
            raise ZeroDivisionError("broken")

    monkeypatch.setattr(clients, "GrpcLines", Broken)
    running = work(server, rate=1000.0).prepare()
    with pytest.raises(ZeroDivisionError, match="broken"):
        running.run(Parent(1000).orders)


def test_what_breaks_once_all_is_closed_is_no_trouble(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loops: list[Any] = []

    class Late(clients.GrpcLines):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            loops.append(self._loop)

    monkeypatch.setattr(clients, "GrpcLines", Late)
    work(server).prepare().run(Parent(1).orders)
    (loop,) = loops
    assert loop.is_closed()
    loop.call_exception_handler({"message": "Task was destroyed but it is pending!"})
    assert not caplog.records


def test_without_a_request_it_is_not_ready(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> Iterator[Any]:
        yield from ()

    monkeypatch.setattr(RandomInputs, "requests", nothing)
    with pytest.raises(ConfigError, match="there is no request for echo in what is to be sent"):
        work(server).prepare()
