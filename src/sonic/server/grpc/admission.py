"""Who may call: what handlers inherit from, and so not among the compiled modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.server.access.guard import QUESTION_BYTES

if TYPE_CHECKING:
    from sonic.server.access.guard import Guard
    from sonic.server.grpc.call import Call


class Admission:
    """The first half of a handler: who is let in.

    Parameters
    ----------
    guard : Guard or None
        None: everyone.
    max_bytes : int
        Largest message, decompressed.
    """

    streams = False

    def __init__(self, guard: Guard | None = None, max_bytes: int = QUESTION_BYTES) -> None:
        self._guard = guard
        self.max_bytes = max_bytes

    def opened(self, call: Call) -> None:
        """Look who it is, and count it."""
        if self._guard is not None:
            self._guard.admit(call.peer, call.head.authorization)

    def ended(self, call: Call) -> None:
        """Do nothing: the only message has come."""
