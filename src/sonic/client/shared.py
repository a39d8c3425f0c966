"""What a process makes once, however often it is unpickled: a worker connects once, and not for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Closable(Protocol):
    """What is shared."""

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more."""

    def close(self) -> None:
        """Release what it holds."""


T = TypeVar("T", bound=Closable)

_made: dict[Hashable, Any] = {}


def once(key: Hashable, make: Callable[[], T]) -> T:
    """Return the process's one thing of a key; it is made the first time, and again once it is closed.

    It is kept until the process ends. A process that is forked has what its parent had.
    """
    # Without a lock, which a process could inherit locked: of two that threads make at once, one stays.
    found: T | None = _made.get(key)
    if found is None or found.closed:
        made = make()
        if found is not None:
            _made.pop(key, None)
        found = _made.setdefault(key, made)
        if found is not made:
            made.close()
    return found


def disconnect() -> None:
    """Close all that this process shares; what is in flight ends in Cancelled. The next use connects again."""
    shared = list(_made.values())
    _made.clear()
    for one in shared:
        one.close()
