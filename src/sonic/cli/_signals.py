"""SIGTERM, by which batch systems end what runs."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""Exit status."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, in a verb that takes it as Ctrl-C."""

    def __str__(self) -> str:
        return "SIGTERM"


@contextmanager
def terminable() -> Iterator[list[int]]:
    """Raise :class:`Terminated` on SIGTERM, once: what it interrupts is to end in order. Yields what signals came."""
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        came.append(number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
