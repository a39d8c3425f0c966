"""Which server next: by what each has outstanding, and whether it failed of late. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the pool knows of one server."""

    server: str
    outstanding: int
    completed: int
    failed: int
    rests_until_s: float


@dataclass(slots=True)
class _Server:
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

    Raises
    ------
    ConfigError
        If a name is there twice.
    """

    def __init__(self, servers: Iterable[str], *, rest_s: float = 5.0) -> None:
        self._rest_s = rest_s
        self._servers: dict[str, _Server] = {}
        self._choices = 0
        for server in servers:
            if server in self._servers:
                raise ConfigError(f"server {server} is given twice")
            self._servers[server] = _Server()

    def choose(self, now_s: float, *, exclude: Collection[str] = (), last: Collection[str] = ()) -> str | None:
        """Name the server to send to.

        Parameters
        ----------
        now_s : float
        exclude : collection of str
            Servers not to choose, e.g. those that this request has tried.
        last : collection of str
            Servers to choose only if there is no other.

        Returns
        -------
        str or None
            The one with the fewest requests outstanding, of those the one not chosen for longest. Servers that rest
            come after the others. None if all are excluded.
        """
        best = min(
            ((name, s) for name, s in self._servers.items() if name not in exclude),
            key=lambda item: (item[0] in last, item[1].rests_until_s > now_s, item[1].outstanding, item[1].chosen),
            default=None,
        )
        if best is None:
            return None
        self._choices += 1
        best[1].chosen = self._choices
        return best[0]

    def sent(self, server: str) -> None:
        """Note that a request went to a server."""
        self._servers[server].outstanding += 1

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
        if failed:
            state.failed += 1
            state.rests_until_s = now_s + self._rest_s
        elif failed is False:
            state.completed += 1
            state.rests_until_s = float("-inf")

    def statistics(self) -> tuple[ServerState, ...]:
        """Return what is known of every server, in the order given."""
        return tuple(
            ServerState(name, s.outstanding, s.completed, s.failed, s.rests_until_s)
            for name, s in self._servers.items()
        )
