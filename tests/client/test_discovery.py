from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest

from sonic.client.catalogue import Catalogue
from sonic.client.discovery import Discovery
from sonic.errors import InvalidRequest, Unavailable
from sonic.protocol.messages import ModelStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.errors import InferenceError


class Clock:
    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        return self.time_s


class Listing:
    """A server as far as it lists its models."""

    def __init__(self, *models: str, error: InferenceError | None = None) -> None:
        self.rows = tuple(ModelStatus(name, "1", "READY", "") for name in models)
        self.error = error
        self.asked = 0

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.rows


class World:
    def __init__(self, **servers: Listing) -> None:
        self.servers = servers
        self.catalogue = Catalogue(servers, 5.0)
        self.clock = Clock()
        self.tasks: list[Callable[[], None]] = []
        timer: Any = self.clock
        ways: Any = servers
        self.discovery = Discovery(ways, self.catalogue, 0.01, timer, Lock(), self._take)

    def _take(self, task: Callable[[], None]) -> bool:
        self.tasks.append(task)
        return True

    def run(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task()


def test_every_server_is_asked_once() -> None:
    world = World(a=Listing("x"), b=Listing("y"))
    world.discovery.begin()
    world.discovery.begin()
    world.run()
    assert [server.asked for server in world.servers.values()] == [1, 1]
    assert world.catalogue.last("x", 0.0) == ["b"]


def test_again_only_after_a_while() -> None:
    world = World(a=Listing("x"), b=Listing("y"))
    for time_s in (0.0, 1.0, 6.0, 7.0):
        world.clock.time_s = time_s
        world.discovery.begin(again=time_s > 0)
        world.run()
    assert world.servers["a"].asked == 2


def test_one_server_alone_is_not_asked() -> None:
    world = World(a=Listing("x"))
    world.discovery.begin()
    assert not world.tasks


@pytest.mark.parametrize(("error", "last"), [(Unavailable("full"), ["a"]), (InvalidRequest("no such call"), [])])
def test_a_server_that_refuses_for_now_comes_last(error: InferenceError, last: list[str]) -> None:
    world = World(a=Listing(error=error), b=Listing("x"))
    world.discovery.begin()
    world.run()
    assert world.catalogue.last("x", 0.0) == last


def test_nobody_waits_for_longer_than_it_takes() -> None:
    world = World(a=Listing("x"), b=Listing("y"))
    world.discovery.begin()
    world.discovery.await_server_of("x", 0.001)  # nobody answers: its time runs out
    world.tasks.pop(0)()
    world.discovery.await_server_of("x", None)  # one has said that it has it
    world.discovery.close()
    world.discovery.await_server_of("z", None)
    world.discovery.begin(again=True)
    assert len(world.tasks) == 1
