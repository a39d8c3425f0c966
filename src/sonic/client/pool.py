"""Which server next: by load, recent latency and health. Pure: time and chance are arguments.

The expected wait at a server is what it has outstanding, this request included, times what one request cost it of late.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from sonic.client.breaker import Breaker
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sonic.client.breaker import Circuit
    from sonic.client.regions import MemoryUse

_MEMORY_S = 10.0
"""After so long without an answer, what a server's requests took has faded to a third."""

_WEIGHT = 0.1
"""Of the newest latency in the average."""

_ALIKE = 1.25
"""Waits that differ by less count as alike, so that servers that are alike share the load, and all stay known."""

_PER_ALIKE = 1 / log(_ALIKE)

_LEAST_S = 1e-6
"""Of a request, so that a long queue counts even where a clock sees no time pass."""


class Sending(NamedTuple):
    """What is to be known of a request to a server when it ends.

    Attributes
    ----------
    among : int
        How many the server had when it was sent, itself included.
    trial : int
        Number of the trial of the server's breaker that it is; 0 if it is none.
    """

    among: int = 1
    trial: int = 0


ALONE = Sending()
"""Of a request to a server that had no other, and was not in question."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of one server. `models` is `completed` by model, `memory` is None where none can be shared."""

    server: str
    outstanding: int
    completed: int
    failed: int
    rests_until_s: float
    circuit: Circuit = "closed"
    latency_s: float | None = None
    memory: MemoryUse | None = None
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Server:
    breaker: Breaker
    outstanding: int = 0
    completed: Counter[str] = field(default_factory=Counter)  # by model
    failed: int = 0
    rests_until_s: float = float("-inf")
    chosen: int = 0
    latency_s: float | None = None
    cost_s: dict[str, tuple[float, float]] = field(default_factory=dict)  # by model, and when it was noted


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
    preferred : collection of str
        Servers that come before the others, as long as they can take requests.
    strict : bool
        Whether the others get nothing at all.

    Raises
    ------
    ConfigError
        If a name is there twice, or a preferred one is not there.
    """

    def __init__(
        self,
        servers: Iterable[str],
        *,
        rest_s: float = 5.0,
        breaker_failures: int = 5,
        breaker_max_rest_s: float = 60.0,
        preferred: Collection[str] = (),
        strict: bool = False,
    ) -> None:
        self._rest_s = rest_s
        self._servers: dict[str, _Server] = {}
        self._choices = 0
        for server in servers:
            if server in self._servers:
                raise ConfigError(f"server {server} is given twice")
            self._servers[server] = _Server(Breaker(breaker_failures, rest_s, breaker_max_rest_s))
        for server in preferred:
            if server not in self._servers:
                raise ConfigError(f"preferred server {server} is none of {', '.join(self._servers) or 'none'}")
        self._preferred = frozenset(preferred)
        self._strict = strict and bool(preferred)

    def choose(
        self,
        now_s: float,
        model: str = "",
        *,
        exclude: Collection[str] = (),
        last: Collection[str] = (),
        open_too: bool = True,
    ) -> str | None:
        """Name the server to send to.

        Parameters
        ----------
        now_s : float
        model : str
            What it is for: a server can be slow at one model alone.
        exclude : collection of str
            Servers not to choose, e.g. those that this request has tried.
        last : collection of str
            Servers to choose only if there is no other.
        open_too : bool
            Whether a server whose circuit is open may be chosen, if there is no other.

        Returns
        -------
        str or None
            The one with the shortest expected wait, of those about alike the one not chosen for longest. Servers that
            rest come after the others. None if there is none.
        """
        preferred = self._preferred
        known = [s.cost_s[model][0] for s in self._servers.values() if model in s.cost_s]
        typical_s = min(known) if known else 1.0
        best: str | None = None
        best_rank: tuple[bool, bool, bool, bool, int, int] | None = None
        for name, s in self._servers.items():
            if name in exclude or (self._strict and name not in preferred):
                continue
            admits = s.breaker.admits(now_s)
            if not (admits or open_too):
                continue
            wait_s = (s.outstanding + 1) * _cost_s(s.cost_s.get(model), now_s, typical_s)
            rank = (
                not admits,
                name in last,
                s.rests_until_s > now_s,
                name not in preferred,
                round(log(wait_s) * _PER_ALIKE),
                s.chosen,
            )
            if best_rank is None or rank < best_rank:
                best, best_rank = name, rank
        return best

    def sent(self, server: str, now_s: float) -> Sending:
        """Note that a request went to a server; return what :meth:`done` is to know of it."""
        state = self._servers[server]
        state.outstanding += 1
        self._choices += 1
        state.chosen = self._choices
        return Sending(state.outstanding, state.breaker.sent(now_s))

    def done(
        self,
        server: str,
        now_s: float,
        *,
        failed: bool | None,
        refused: bool = False,
        model: str = "",
        took_s: float | None = None,
        sending: Sending = ALONE,
    ) -> None:
        """Note that a request to a server ended.

        Parameters
        ----------
        server : str
        now_s : float
        failed : bool or None
            Whether the server is to blame: it did not answer, or could not take the request. None: nobody knows,
            since the request was given up.
        refused : bool
            Whether it answered with an error that it is not to blame for: that it lacks the model, say. That counts as
            neither completed nor failed.
        model : str
        took_s : float, optional
            From sending to the end, if that says something about the server's speed.
        sending : Sending
            As :meth:`sent` returned it.
        """
        state = self._servers[server]
        state.outstanding -= 1
        state.breaker.ended(now_s, failed=failed, trial=sending.trial)
        if took_s is not None and not failed:
            self._took(state, now_s, model, took_s, sending.among, whole=failed is False)
        if failed:
            state.failed += 1
            state.rests_until_s = now_s + self._rest_s
        elif failed is False:
            state.completed[model] += not refused
            state.rests_until_s = float("-inf")

    def _took(self, state: _Server, now_s: float, model: str, took_s: float, among: int, *, whole: bool) -> None:
        known = state.cost_s.get(model)
        # By Little's law the requests of a server take together what one of them takes.
        cost_s = max(took_s / among, _LEAST_S)
        if not whole and (known is None or cost_s < known[0]):
            return  # given up so early that it says nothing
        if known is not None:
            cost_s = known[0] + _WEIGHT * (cost_s - known[0])
        state.cost_s[model] = cost_s, now_s
        if whole:
            state.latency_s = (
                took_s if state.latency_s is None else state.latency_s + _WEIGHT * (took_s - state.latency_s)
            )

    def admits(self, server: str, now_s: float) -> bool:
        """Whether the server's circuit lets a request through now."""
        return self._servers[server].breaker.admits(now_s)

    def statistics(self, now_s: float) -> tuple[ServerState, ...]:
        """Return what is known of every server, in the order given."""
        return tuple(
            ServerState(
                name,
                s.outstanding,
                s.completed.total(),
                s.failed,
                s.rests_until_s,
                s.breaker.circuit(now_s),
                s.latency_s,
                models=dict(+s.completed),
            )
            for name, s in self._servers.items()
        )


def _cost_s(known: tuple[float, float] | None, now_s: float, typical_s: float) -> float:
    """Say what a request costs; what is not known, or was long ago, is taken for what it costs elsewhere."""
    if known is None:
        return typical_s
    cost_s, noted_s = known
    return typical_s + (cost_s - typical_s) * exp(-max(now_s - noted_s, 0.0) / _MEMORY_S)
