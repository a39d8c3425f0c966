from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

from sonic.server.busypoll import BusyPoll
from sonic.server.http.connections import Connections, Limits


class Fake:
    """A connection that says what it is told to do."""

    def __init__(self, everyone: Connections) -> None:
        self.told: list[Any] = []
        self._everyone = everyone
        everyone.add(self)

    def check(self, now_s: float) -> None:
        self.told.append(now_s)

    def end(self) -> None:
        self._everyone.discard(self)

    def abort(self) -> None:
        raise AssertionError("it has ended")


def test_transfers_have_as_long_as_they_need() -> None:
    assert Limits(stall_s=60, least_bytes_per_s=1000).transfer_s(30_000) == 90


def test_they_are_looked_after() -> None:
    async def run() -> None:
        everyone = Connections(asyncio.get_running_loop(), BusyPoll(0.0, lambda call: None), now_s=lambda: 7.0)
        both = [Fake(everyone), Fake(everyone)]
        everyone.watch()
        assert [one.told for one in both] == [[7.0], [7.0]]
        name, _, date = everyone.date.decode().strip().partition(": ")
        assert (name, parsedate_to_datetime(date).tzinfo is not None) == ("Date", True)
        await everyone.end(10)
        assert len(everyone) == 0

    asyncio.run(run())
