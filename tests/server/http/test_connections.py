from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

from sonic.server.http.connections import Connections, Limits


class Fake:
    """A connection that says what it is told to do, and ends on demand."""

    def __init__(self, everyone: Connections, *, ends: bool = True) -> None:
        self.told: list[Any] = []
        self._everyone, self._ends = everyone, ends
        everyone.add(self)

    def check(self, now_s: float) -> None:
        self.told.append(now_s)

    def end(self) -> None:
        self.told.append("end")
        if self._ends:
            self._everyone.discard(self)

    def abort(self) -> None:
        self.told.append("abort")
        self._everyone.discard(self)


def test_transfers_have_as_long_as_they_need() -> None:
    assert Limits(stall_s=60, least_bytes_per_s=1000).transfer_s(30_000) == 90


def test_they_are_looked_after() -> None:
    async def run() -> None:
        everyone = Connections(asyncio.get_running_loop(), now_s=lambda: 7.0)
        both = [Fake(everyone), Fake(everyone)]
        everyone.watch()
        assert [one.told for one in both] == [[7.0], [7.0]]
        name, _, date = everyone.date.decode().strip().partition(": ")
        assert (name, parsedate_to_datetime(date).tzinfo is not None) == ("Date", True)
        await everyone.end(10)
        assert len(everyone) == 0

    asyncio.run(run())


def test_the_end() -> None:
    async def run() -> None:
        everyone = Connections(asyncio.get_running_loop())
        idle, busy, stuck = Fake(everyone), Fake(everyone, ends=False), Fake(everyone, ends=False)
        asyncio.get_running_loop().call_soon(everyone.discard, busy)
        await everyone.end(0.01)
        assert (idle.told, busy.told, stuck.told) == (["end"], ["end"], ["end", "abort"])
        late = Fake(everyone)
        assert late.told == ["end"]

    asyncio.run(run())


def test_nobody_is_waited_for_where_nobody_is() -> None:
    async def run() -> None:
        everyone = Connections(asyncio.get_running_loop())
        await asyncio.wait_for(everyone.end(1000), 10)

    asyncio.run(run())
