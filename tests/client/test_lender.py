from __future__ import annotations

import errno
import gc
import logging
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from sonic.client.lender import Lender
from sonic.client.segments import Segment, available
from sonic.errors import DeadlineExceeded, InvalidRequest, Unavailable, Unsupported
from sonic.protocol.ownership import FOLDER, PREFIX
from sonic.testing.memory import FakeMemoryServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.client.lender import Lease

pytestmark = pytest.mark.skipif(not available(), reason="this system has no folder of shared memory")

WAIT_S = 20.0
KB = 1 << 10


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> FakeMemoryServer:
    return FakeMemoryServer((), lambda request: {})


@pytest.fixture
def lend(server: FakeMemoryServer, clock: Clock) -> Iterator[Callable[..., Lender]]:
    made: list[Lender] = []

    def lend(near: bool = True, max_bytes: int = 1 << 20, make: Callable[[int, Path], Segment] = Segment) -> Lender:
        made.append(Lender(server, lambda: near, max_bytes, make=make, clock=clock))
        return made[-1]

    yield lend
    for lender in made:
        lender.close()


def settled(lender: Lender, byte_size: int = KB) -> Lease | None:
    """Ask until there is a region, or there will be none."""
    lease = lender.take(byte_size)
    if lease is None:
        assert lender.settle(WAIT_S)
        lease = lender.take(byte_size)
    return lease


def exists(name: str) -> bool:
    return (FOLDER / name).exists()


def test_nothing_waits_for_a_region_and_the_next_has_it(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend()
    assert lender.take(KB) is None
    assert lender.settle(WAIT_S)
    lease = lender.take(KB)
    assert lease is not None
    assert server.registered == [lease.region.name] == [status.name for status in server.memory.status()]
    assert lease.segment.memory.size == lease.region.byte_size >= KB
    lender.give_back(lease, answered=True)
    for _ in range(3):
        again = lender.take(KB)
        assert again is not None
        assert again.segment is lease.segment
        lender.give_back(again, answered=True)
    use = lender.use()
    assert (use.requests, use.over_wire, use.regions, use.reason) == (4, 1, 1, "")


def test_as_many_as_are_needed_at_once(lend: Callable[..., Lender]) -> None:
    lender = lend()
    leases = [settled(lender) for _ in range(5)]
    assert len({lease.region.name for lease in leases if lease is not None}) == 5
    for lease in leases:
        assert lease is not None
        lender.give_back(lease, answered=True)
    assert lender.use().regions == 5


def test_within_the_limit(lend: Callable[..., Lender]) -> None:
    lender = lend(max_bytes=128 * KB)
    leases = [settled(lender) for _ in range(3)]
    assert [lease is not None for lease in leases] == [True, True, False]
    assert lender.use().byte_size <= 128 * KB
    assert "limit" in lender.use().reason


def test_larger_requests_replace_the_region(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend()
    first = settled(lender, 100 * KB)
    assert first is not None
    lender.give_back(first, answered=True)
    second = settled(lender, 150 * KB)
    assert second is not None
    assert second.region.byte_size >= 150 * KB
    assert not exists(first.region.name)
    assert [status.name for status in server.memory.status()] == [second.region.name]


def test_a_region_given_up_is_removed_unregistered_and_never_lent_again(
    lend: Callable[..., Lender], server: FakeMemoryServer
) -> None:
    lender = lend()
    lease = settled(lender)
    assert lease is not None
    view = lease.segment.memory
    view[0] = 7
    lender.give_up(lease)
    assert not exists(lease.region.name)
    assert lender.settle(WAIT_S)
    assert server.unregistered == [lease.region.name]
    other = settled(lender)
    assert other is not None
    assert other.region.name != lease.region.name
    other.segment.memory[:] = 9
    assert view[0] == 7, "the server may read from it still"


def test_a_server_elsewhere_is_asked_for_nothing(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend(near=False)
    assert settled(lender) is None
    assert not lender.usable
    assert server.registered == []
    use = lender.use()
    assert (use.over_wire, use.reason) == (0, "the server is not on this host")


@pytest.mark.parametrize(
    "refusal",
    [
        Unsupported("shared memory is off"),
        InvalidRequest("key '/sonic-1' cannot be opened: No such file or directory"),
    ],
    ids=["off", "another network namespace, or a tunnel to another host"],
)
def test_a_refusal_is_counted_said_once_and_asked_about_again_later(
    lend: Callable[..., Lender],
    server: FakeMemoryServer,
    clock: Clock,
    refusal: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "sonic.client")
    lender = lend()
    server.refusal = refusal  # type: ignore[assignment]
    for _ in range(5):
        assert settled(lender) is None
    assert len(server.registered) == 1
    assert not exists(server.registered[0])
    use = lender.use()
    assert (use.over_wire, use.regions, use.byte_size, use.reason) == (10, 0, 0, str(refusal))
    clock.now_s += 11
    assert settled(lender) is None
    assert len(server.registered) == 2
    clock.now_s += 11  # it is asked less and less often
    assert settled(lender) is None
    assert len(server.registered) == 2
    (record,) = caplog.records
    assert "fake:a" in record.message
    assert str(refusal) in record.message
    server.refusal = None
    clock.now_s += 11
    lease = settled(lender)
    assert lease is not None
    lender.give_back(lease, answered=True)
    assert lender.use().reason == ""


def test_regions_that_there_are_outlast_a_refusal_of_more(
    lend: Callable[..., Lender], server: FakeMemoryServer
) -> None:
    lender = lend()
    first = settled(lender)
    assert first is not None
    server.refusal = InvalidRequest("4096 shared memory regions are registered already")
    assert settled(lender) is None
    lender.give_back(first, answered=True)
    again = settled(lender)
    assert again is not None
    assert again.region is first.region
    assert lender.use().reason == str(server.refusal)


@pytest.mark.parametrize("error", [Unavailable("nobody listens"), DeadlineExceeded("no answer")])
def test_a_server_that_cannot_be_reached_is_asked_again_soon(
    lend: Callable[..., Lender],
    server: FakeMemoryServer,
    clock: Clock,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "sonic.client")
    lender = lend()
    server.down = error  # type: ignore[assignment]
    assert settled(lender) is None
    server.down = None
    assert settled(lender) is None
    clock.now_s += 1.1
    assert settled(lender) is not None
    assert caplog.records == []


def test_out_of_shared_memory(lend: Callable[..., Lender], clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sonic.client")
    room = [1]

    def make(byte_size: int, folder: Path) -> Segment:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        room.pop()
        return Segment(byte_size, folder)

    lender = lend(make=make)
    first = settled(lender)
    assert first is not None
    assert settled(lender) is None
    assert settled(lender) is None
    lender.give_back(first, answered=True)
    use = lender.use()
    assert (use.requests, use.regions) == (1, 1)
    assert use.reason == "out of shared memory: No space left on device"
    assert settled(lender) is not None, "what there is is used"
    assert len(caplog.records) == 1
    room.append(1)
    assert settled(lender) is None
    clock.now_s += 11
    assert settled(lender) is not None


def test_what_dead_processes_left_is_swept_first(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    left = FOLDER / f"{PREFIX}1-{'0' * 16}"
    left.touch()
    assert settled(lend()) is not None
    assert not left.exists()
    assert server.unregistered == [left.name]


def test_a_server_that_forgot_has_all_registered_anew(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend()
    leases = [settled(lender) for _ in range(3)]
    assert None not in leases
    server.memory.unregister()
    first, second, third = leases
    assert first is not None
    assert second is not None
    assert third is not None
    lender.give_back(third, answered=True)
    for lease in (first, second):
        lender.refused(lease, "no region", forgotten=True)
        lender.give_back(lease, answered=False)
    assert lender.settle(WAIT_S)
    assert not any(exists(lease.region.name) for lease in (first, second, third))
    for _ in range(3):
        assert settled(lender) is not None
    assert len(server.memory.status()) == 3


def test_a_server_that_forgets_whatever_it_registers_is_left_alone(
    lend: Callable[..., Lender], server: FakeMemoryServer, clock: Clock
) -> None:
    lender = lend()
    server.lying = True
    for _ in range(3):
        lease = settled(lender)
        assert lease is not None
        lender.refused(lease, "no region", forgotten=True)
        lender.give_back(lease, answered=False)
    assert settled(lender) is None
    assert (len(server.registered), lender.use().reason) == (3, "no region")
    server.lying = False
    clock.now_s += 11
    assert settled(lender) is not None


def test_several_servers_behind_one_address_are_asked_less_and_less_often(
    lend: Callable[..., Lender], server: FakeMemoryServer, clock: Clock
) -> None:
    lender = lend()
    pauses_s = []
    for _ in range(3):
        for answered in (True, True, False, False, False):  # as chance has it who is asked
            lease = settled(lender)
            assert lease is not None
            if not answered:
                lender.refused(lease, "no region", forgotten=True)
            lender.give_back(lease, answered=answered)
        before_s = clock.now_s
        while settled(lender) is None:
            clock.now_s += 1
        pauses_s.append(clock.now_s - before_s)
    assert pauses_s == [10, 20, 40]
    for _ in range(100):
        lease = settled(lender)
        assert lease is not None
        lender.give_back(lease, answered=True)
    for _ in range(3):
        lease = settled(lender)
        assert lease is not None
        lender.refused(lease, "no region", forgotten=True)
        lender.give_back(lease, answered=False)
    clock.now_s += 10
    assert settled(lender) is not None


def test_an_answer_makes_good_for_refusals(lend: Callable[..., Lender]) -> None:
    lender = lend()
    for _ in range(5):
        for answered in (False, False, True):
            lease = settled(lender)
            assert lease is not None
            if not answered:
                lender.refused(lease, "too small", forgotten=False)
            lender.give_back(lease, answered=answered)
    assert lender.use().reason == ""


def test_closing_removes_everything(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend()
    lent, free = settled(lender), settled(lender)
    assert lent is not None
    assert free is not None
    lender.give_back(free, answered=True)
    lender.close()
    lender.close()
    names = {lent.region.name, free.region.name}
    assert set(server.unregistered) == names
    assert not any(map(exists, names))
    lent.segment.memory[:] = 1  # its request goes on to its end
    lender.give_back(lent, answered=True)
    assert lender.take(KB) is None
    assert not lender.usable
    assert not lender.run(lambda: None)


def test_closing_while_a_region_is_being_registered(
    lend: Callable[..., Lender], server: FakeMemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = Event(), Event()
    register = server.register

    def slowly(*what: Any) -> None:
        asked.set()
        assert go.wait(WAIT_S)
        register(*what)

    monkeypatch.setattr(server, "register", slowly)
    lender = lend()
    assert lender.take(KB) is None
    assert asked.wait(WAIT_S)
    lender.close()
    go.set()
    assert lender.settle(WAIT_S)
    assert server.unregistered == server.registered != []
    assert not any(map(exists, server.registered))


def test_closing_when_the_server_is_gone(lend: Callable[..., Lender], server: FakeMemoryServer) -> None:
    lender = lend()
    leases = [settled(lender) for _ in range(3)]
    server.down = Unavailable("it was killed")
    lender.close()
    assert not any(exists(lease.region.name) for lease in leases if lease is not None)


def test_a_lender_that_nobody_closed_leaves_nothing_behind(server: FakeMemoryServer) -> None:
    lender = Lender(server, lambda: True, 1 << 20)
    lease = settled(lender)
    assert lease is not None
    name = lease.region.name
    assert lender.settle(WAIT_S)
    lender._workers.close()  # its threads end after a while by themselves
    del lease, lender
    gc.collect()
    assert not exists(name)
