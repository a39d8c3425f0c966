"""Who shares requests out among servers behind one address, on virtual time. Pure: chance is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sonic.errors import Unavailable
from sonic.study.simulation.server import REFUSAL_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.queueing import Answer
    from sonic.study.simulation.server import Server

Policy = Literal["round_robin", "random", "least_requests", "shortest_delay"]


class Balancer:
    """One address for several servers.

    Parameters
    ----------
    clock : Clock
    servers : list of Server
        The owner may add to it and remove from it.
    policy : {"round_robin", "random", "least_requests", "shortest_delay"}
        The third is Envoy's ``LEAST_REQUEST``: of two at random, the one that has fewer. The last knows how fast each
        is, and which will be done first: what can be had at best.
    notice_s : float
        For how long after its death a server is still sent to.
    random : random.Random
    """

    def __init__(
        self, clock: Clock, servers: list[Server], policy: Policy, random: Random, *, notice_s: float = 1.0
    ) -> None:
        self.servers = servers
        self._clock = clock
        self._policy = policy
        self._random = random
        self._notice_s = notice_s
        self._next = 0
        self._dead_s: dict[Server, float] = {}

    def choose(self) -> Server | None:
        """Name the server of the next request; None if there is none."""
        servers: Sequence[Server] = self.servers
        if self._dead_s or not all(server.up for server in servers):
            servers = [server for server in servers if self._offered(server)]
        if not servers:
            return None
        if self._policy == "round_robin":
            self._next += 1
            return servers[self._next % len(servers)]
        if self._policy == "shortest_delay":
            return min(servers, key=lambda server: (len(server) + 1) / server.speed)
        chosen = servers[int(self._random.random() * len(servers))]
        if self._policy == "least_requests":
            other = servers[int(self._random.random() * len(servers))]
            chosen = min(chosen, other, key=len)
        return chosen

    def take(self, model: str, rows: int, answer: Answer, timeout_s: float | None = None) -> None:
        """Pass a request on."""
        server = self.choose()
        if server is None:
            error = Unavailable("the balancer has no server")
            self._clock.after(REFUSAL_S, lambda: answer(error))
        else:
            server.take(model, rows, answer, timeout_s)

    def _offered(self, server: Server) -> bool:
        if server.up:
            self._dead_s.pop(server, None)
            return True
        return self._clock.now_s() < self._dead_s.setdefault(server, self._clock.now_s()) + self._notice_s
