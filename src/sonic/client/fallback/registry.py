"""Which fallbacks this process has: one for all clients that describe the same."""

from __future__ import annotations

import os
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from sonic.client.fallback.running import as_it_is
from sonic.client.fallback.shared import SharedFallback

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sonic.client.fallback.description import Fallback
    from sonic.client.fallback.running import Share


class Registry:
    """Fallbacks and who has joined them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._members: dict[Fallback, set[Hashable]] = {}
        self._all: dict[Fallback, SharedFallback] = {}

    def join(self, fallback: Fallback, member: Hashable, share: Share = as_it_is) -> SharedFallback:
        """Return the fallback of a description, which lives until its last member leaves it.

        The first member says how memory is shared.
        """
        key = replace(fallback, folder=os.path.realpath(fallback.folder))
        with self._lock:
            if key not in self._all:
                self._all[key] = SharedFallback(fallback, share)
                self._members[key] = set()
            self._members[key].add(member)
            return self._all[key]

    def leave(self, shared: SharedFallback, member: Hashable) -> None:
        """Need nothing of a fallback any more; the last one's leave ends it."""
        with self._lock:
            key = next((key for key, one in self._all.items() if one is shared), None)
            if key is None:
                return
            self._members[key].discard(member)
            last = not self._members[key]
            if last:
                del self._all[key], self._members[key]
        if last:
            shared.close()
        else:
            shared.leave(member)

    def forget(self) -> None:
        """Begin anew in a process that was forked: it has neither the threads nor the servers of its parent."""
        self._lock = Lock()  # which another thread of the parent may have held
        self._members.clear()
        self._all.clear()


FALLBACKS = Registry()
"""Those of this process."""

os.register_at_fork(after_in_child=FALLBACKS.forget)
