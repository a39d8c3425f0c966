"""Servers and clients on virtual time: how a choice of server spreads load."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class Chooser(Protocol):
    """Part of :class:`sonic.client.pool.Pool` that the simulation drives."""

    def choose(self, now_s: float) -> str | None:
        """Name a server."""

    def sent(self, server: str) -> int:
        """Note that a request went to it."""

    def done(self, server: str, now_s: float, *, failed: bool | None, took_s: float | None, among: int) -> None:
        """Note that one ended."""


class RoundRobin:
    """Every server in turn, whatever it does."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._next = 0

    def choose(self, now_s: float) -> str | None:  # noqa: ARG002 - as the port has it
        """Name the next one."""
        return self._servers[self._next % len(self._servers)]

    def sent(self, server: str) -> int:  # noqa: ARG002
        """Go on to the one after it."""
        self._next += 1
        return 1

    def done(self, server: str, now_s: float, *, failed: bool | None, took_s: float | None, among: int) -> None:
        """Take no notice."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a simulation."""

    took_s: float
    requests: dict[str, int]


def simulate(
    choosers: Sequence[Chooser],
    service_s: dict[str, float],
    requests: int,
    in_flight: int,
    *,
    delay_s: float = 0.0,
    random: Random | None = None,
) -> Load:
    """Send requests through servers that serve one at a time, in the order in which they come.

    Parameters
    ----------
    choosers : sequence of Chooser
        One a client.
    service_s : dict of str to float
        Time a request, by server.
    requests, in_flight : int
        Of each client, in all and at a time.
    delay_s : float
        Of the network, there and back, in seconds.
    random : random.Random, optional
        Draws service times around their means, exponentially; else all are alike.

    Returns
    -------
    Load
        Until the last answer, and how many requests each server had.
    """
    queues: dict[str, deque[tuple[int, float, int]]] = {server: deque() for server in service_s}
    counts = dict.fromkeys(service_s, 0)
    left = [requests] * len(choosers)
    events: list[tuple[float, int, str, str, tuple[int, float, int]]] = []
    ticket = 0
    now_s = 0.0

    def at(when_s: float, what: str, server: str, job: tuple[int, float, int]) -> None:
        nonlocal ticket
        ticket += 1
        heapq.heappush(events, (when_s, ticket, what, server, job))

    def send(client: int) -> None:
        if left[client] == 0:
            return
        left[client] -= 1
        server = choosers[client].choose(now_s)
        assert server is not None  # noqa: S101 - every server of a simulation can be chosen
        counts[server] += 1
        at(now_s + delay_s / 2, "arrive", server, (client, now_s, choosers[client].sent(server)))

    def serve(server: str) -> None:
        mean_s = service_s[server]
        at(now_s + (mean_s if random is None else random.expovariate(1 / mean_s)), "served", server, queues[server][0])

    for client in range(len(choosers)):
        for _ in range(in_flight):
            send(client)
    while events:
        now_s, _, what, server, job = heapq.heappop(events)
        client, sent_s, among = job
        if what == "arrive":
            queues[server].append(job)
            if len(queues[server]) == 1:
                serve(server)
        elif what == "served":
            queues[server].popleft()
            if queues[server]:
                serve(server)
            at(now_s + delay_s / 2, "answer", server, job)
        else:
            choosers[client].done(server, now_s, failed=False, took_s=now_s - sent_s, among=among)
            send(client)
    return Load(now_s, counts)
