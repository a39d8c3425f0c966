"""Which server has which model, as far as they said. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX_S = 60.0
"""For how long a server's list of models is believed: models are loaded and unloaded behind our backs."""


class Catalogue:
    """What servers said of their models. Not thread-safe.

    Parameters
    ----------
    servers : iterable of str
    rest_s : float
        For how long a server that lacked a model, or refused to say what it has, comes last.
    """

    def __init__(self, servers: Iterable[str], rest_s: float) -> None:
        self._servers = tuple(servers)
        self._rest_s = rest_s
        self._lists: dict[str, tuple[frozenset[str], float]] = {}
        self._refused: dict[str, float] = {}
        self._lacking: dict[tuple[str, str], float] = {}
        self._asked_s: float | None = None

    def due(self, now_s: float, *, again: bool) -> bool:
        """Whether to ask all servers now: at first, and `again` when a model was not found; then it counts as done."""
        if self._asked_s is not None and not (again and now_s >= self._asked_s + self._rest_s):
            return False
        self._asked_s = now_s
        return True

    def listed(self, server: str, models: Iterable[str], now_s: float) -> None:
        """Note the models that a server has."""
        names = frozenset(models)
        self._lists[server] = names, now_s + INDEX_S
        self._refused.pop(server, None)
        for key in [key for key in self._lacking if key[0] == server and key[1] in names]:
            del self._lacking[key]

    def refused(self, server: str, now_s: float) -> None:
        """Note that a server did not say: most likely it is full."""
        self._refused[server] = now_s + self._rest_s

    def found(self, server: str, model: str) -> None:
        """Note that a server answered for a model, whatever it had said."""
        self._lacking.pop((server, model), None)
        self._refused.pop(server, None)
        known = self._lists.get(server)
        if known is not None and model not in known[0]:
            self._lists[server] = known[0] | {model}, known[1]

    def not_found(self, server: str, model: str, now_s: float) -> None:
        """Note that a server lacks a model."""
        self._lacking[server, model] = now_s + self._rest_s

    def has(self, server: str, model: str) -> bool:
        """Whether the server says that it has the model."""
        return server in self._lists and model in self._lists[server][0]

    def last(self, model: str, now_s: float) -> list[str]:
        """Servers to choose only if there is no other."""
        return [server for server in self._servers if self._comes_last(server, model, now_s)]

    def _comes_last(self, server: str, model: str, now_s: float) -> bool:
        if self._lacking.get((server, model), now_s) > now_s or self._refused.get(server, now_s) > now_s:
            return True
        names, until_s = self._lists.get(server, (frozenset(), now_s))
        return until_s > now_s and model not in names
