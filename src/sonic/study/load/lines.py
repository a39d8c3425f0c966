"""A client's way to the server, which carries one request at a time: what every kind of it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[str, int, float], None]

clock = time.monotonic
"""Of all processes on this machine."""


class Line(Protocol):
    """A client's way to the server. It connects, and connects again, by itself. Only for the loop's thread."""

    def send(self, number: int, done: Done) -> None:
        """Send the request of a number, while no other is under way.

        ``done(error, bytes_received, at_s)`` is called once, by the loop, after this has returned: the error's text,
        empty if there is none; bytes of the answer's tensors; and when it came, by :data:`clock`.
        """

    def give_up(self, reason: str) -> None:
        """End the request that is under way, if there is one, with an error."""


class Lines(Protocol):
    """Makes the lines of one process."""

    def line(self) -> Line:
        """Return another one."""

    def close(self) -> None:
        """Close all."""
