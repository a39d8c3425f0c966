"""Which server next: by what each has outstanding, and whether it failed of late. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.client.breaker import Breaker
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sonic.client.breaker import Circuit


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the pool knows of one server."""

    server: str
    outstanding: int
    completed: int
    failed: int
    rests_until_s: float
    circuit: Circuit = "closed"


@dataclass(slots=True)
class _Server:
    breaker: Breaker
    outstanding: int = 0
    completed: int = 0
    failed: int = 0
    rests_until_s: float = float("-inf")
    chosen: int = 0


class Pool:
    """Chooses among servers. Not thread-safe: its owner holds a lock.

    Parameters
    ----------
    servers : iterable of str
        Distinct names.
    rest_s : float
        For how long a server that failed comes after all others, in seconds.
    breaker_failures : int
        So many failures in a row open a server's circuit, first for `rest_s` seconds.
    breaker_max_rest_s : float
        For how long at most, when it keeps failing.

    Raises
    ------
    ConfigError
        If a name is there twice.
    """

    def __init__(
        self,
        servers: Iterable[str],
        *,
        rest_s: float = 5.0,
        breaker_failures: int = 5,
        breaker_max_rest_s: float = 60.0,
    ) -> None:
        self._rest_s = rest_s
        self._servers: dict[str, _Server] = {}
        self._choices = 0
        for server in servers:
            if server in self._servers:
                raise ConfigError(f"server {server} is given twice")
            self._servers[server] = _Server(Breaker(breaker_failures, rest_s, breaker_max_rest_s))

    def choose(
        self, now_s: float, *, exclude: Collection[str] = (), last: Collection[str] = (), open_too: bool = True
    ) -> str | None:
        """Name the server to send to.

        Parameters
        ----------
        now_s : float
        exclude : collection of str
            Servers not to choose, e.g. those that this request has tried.
        last : collection of str
            Servers to choose only if there is no other.
        open_too : bool
            Whether a server whose circuit is open may be chosen, if there is no other.

        Returns
        -------
        str or None
            The one with the fewest requests outstanding, of those the one not chosen for longest. Servers that rest
            come after the others. None if there is none.
        """
        best = min(
            (
                (name, s)
                for name, s in self._servers.items()
                if name not in exclude and (open_too or s.breaker.admits(now_s))
            ),
            key=lambda item: (
                not item[1].breaker.admits(now_s),
                item[0] in last,
                item[1].rests_until_s > now_s,
                item[1].outstanding,
                item[1].chosen,
            ),
            default=None,
        )
        if best is None:
            return None
        return best[0]

    def sent(self, server: str) -> None:
        """Note that a request went to a server."""
        state = self._servers[server]
        state.outstanding += 1
        state.breaker.sent()
        self._choices += 1
        state.chosen = self._choices

    def done(self, server: str, now_s: float, *, failed: bool | None) -> None:
        """Note that a request to a server ended.

        Parameters
        ----------
        server : str
        now_s : float
        failed : bool or None
            Whether the server is to blame: it did not answer, or could not take the request. None: nobody knows,
            since the request was given up.
        """
        state = self._servers[server]
        state.outstanding -= 1
        state.breaker.ended(now_s, failed=failed)
        if failed:
            state.failed += 1
            state.rests_until_s = now_s + self._rest_s
        elif failed is False:
            state.completed += 1
            state.rests_until_s = float("-inf")

    def admits(self, server: str, now_s: float) -> bool:
        """Whether the server's circuit lets a request through now."""
        return self._servers[server].breaker.admits(now_s)

    def statistics(self, now_s: float) -> tuple[ServerState, ...]:
        """Return what is known of every server, in the order given."""
        return tuple(
            ServerState(name, s.outstanding, s.completed, s.failed, s.rests_until_s, s.breaker.circuit(now_s))
            for name, s in self._servers.items()
        )
