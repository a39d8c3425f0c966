"""Who may load and unload which models now."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Set


class Turns:
    """Lets one thread at a time change a model and those it hangs together with; others are changed meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()
        self._ended = 0

    @contextmanager
    def take(self, names: Callable[[], Set[str]]) -> Iterator[Set[str]]:
        """Wait until nobody else changes any of some models, and keep all others from them.

        Parameters
        ----------
        names : callable
            Returns the models; it is asked again when a turn of others has ended, which may have brought new ones.
        """
        while True:
            ended = self._ended
            wanted = names()
            with self._changed:
                if self._ended == ended and not wanted & self._taken:
                    self._taken |= wanted  # all at once: who waits holds none that others wait for
                    break
                self._changed.wait_for(lambda since=ended: self._ended != since)  # type: ignore[misc]
        try:
            yield wanted
        finally:
            with self._changed:
                self._taken -= wanted
                self._ended += 1
                self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nobody changes anything; False if that takes longer than `timeout_s` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._taken, timeout_s)


def kin(
    name: str, parts: Iterable[tuple[str, Set[str]]], parts_of: Callable[[str], Set[str]] = lambda _: frozenset()
) -> Set[str]:
    """Return the names of the models that hang together with one, itself included.

    Parameters
    ----------
    name : str
    parts : iterable of (str, set of str)
        Names of models, and of those that they are made of.
    parts_of : callable
        Says the same of one model, for what is not known yet.
    """
    links: dict[str, set[str]] = {}

    def link(whole: str, made_of: Set[str]) -> None:
        links.setdefault(whole, set()).update(made_of)
        for part in made_of:
            links.setdefault(part, set()).add(whole)

    for whole, made_of in parts:
        link(whole, made_of)
    found: set[str] = set()
    ahead = [name]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            link(one, parts_of(one))
            ahead.extend(links[one])
    return found
