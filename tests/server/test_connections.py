from __future__ import annotations

import asyncio

from sonic.server.connections import OpenConnections


class Fake:
    """A connection that says what it is told to do, and ends on demand."""

    def __init__(self, everyone: OpenConnections[Fake], *, ends: bool = True) -> None:
        self.told: list[str] = []
        self._everyone, self._ends = everyone, ends
        everyone.add(self)

    def end(self) -> None:
        self.told.append("end")
        if self._ends:
            self._everyone.discard(self)

    def abort(self) -> None:
        self.told.append("abort")
        self._everyone.discard(self)


def test_the_end() -> None:
    async def run() -> None:
        everyone: OpenConnections[Fake] = OpenConnections()
        idle, busy, stuck = Fake(everyone), Fake(everyone, ends=False), Fake(everyone, ends=False)
        asyncio.get_running_loop().call_soon(everyone.discard, busy)
        await everyone.end(0.01)
        assert (idle.told, busy.told, stuck.told) == (["end"], ["end"], ["end", "abort"])
        late = Fake(everyone)
        assert (late.told, len(everyone)) == (["end"], 0)

    asyncio.run(run())


def test_those_that_are_there_are_waited_for_although_there_were_none_before() -> None:
    async def run() -> None:
        everyone: OpenConnections[Fake] = OpenConnections()
        everyone.discard(Fake(everyone))
        busy = Fake(everyone, ends=False)
        ending = asyncio.create_task(everyone.end(1000))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not ending.done()
        everyone.discard(busy)
        await asyncio.wait_for(ending, 10)

    asyncio.run(run())


def test_nobody_is_waited_for_where_nobody_is() -> None:
    async def run() -> None:
        everyone: OpenConnections[Fake] = OpenConnections()
        await asyncio.wait_for(everyone.end(1000), 10)

    asyncio.run(run())
