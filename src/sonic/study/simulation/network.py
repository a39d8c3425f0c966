"""The network on virtual time: lines of clients and of sites. Pure."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from sonic.study.conditions.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sonic.study.conditions.line import Conditions, Flow
    from sonic.study.simulation.clock import Clock


class Site:
    """The way to servers that are in one place, which all their clients share.

    Parameters
    ----------
    conditions : Conditions
    random : random.Random
    """

    def __init__(self, conditions: Conditions, random: Random) -> None:
        self.plain = conditions.plain
        self.there = Line(conditions, random)
        self.back = Line(conditions, random)


class Cable:
    """A client's own end of the network.

    Parameters
    ----------
    clock : Clock
    conditions : Conditions
    random : random.Random
    """

    def __init__(self, clock: Clock, conditions: Conditions, random: Random) -> None:
        self._clock = clock
        self._own = None if conditions.plain else Site(conditions, random)
        self._flows: dict[Line, Flow] = {}

    def send(self, site: Site, n_bytes: int, done: Callable[[], object]) -> None:
        """Carry bytes to a site and call `done` when they have arrived; at once if there is nothing between."""
        self._carry(site.plain, None if self._own is None else self._own.there, site.there, n_bytes, done)

    def receive(self, site: Site, n_bytes: int, done: Callable[[], object]) -> None:
        """Carry bytes back from it."""
        self._carry(site.plain, None if self._own is None else self._own.back, site.back, n_bytes, done)

    def _carry(self, plain: bool, own: Line | None, shared: Line, n_bytes: int, done: Callable[[], object]) -> None:
        if plain and own is None:
            done()
            return
        if plain or own is None:
            self._pass(shared if own is None else own, n_bytes, done)
            return
        now_s = self._clock.now_s()
        last_s = self._flow(own).send(now_s, n_bytes)
        # The second line takes each byte as it comes out of the first.
        first_s = max(now_s, last_s - own.takes_s(n_bytes))
        self._clock.after(first_s - now_s, lambda: self._pass(shared, n_bytes, done, last_s))

    def _pass(self, line: Line, n_bytes: int, done: Callable[[], object], last_s: float = -inf) -> None:
        now_s = self._clock.now_s()
        self._clock.after(self._flow(line).send(now_s, n_bytes, last_s) - now_s, done)

    def _flow(self, line: Line) -> Flow:
        flow = self._flows.get(line)
        if flow is None:
            flow = self._flows[line] = line.flow()
        return flow
