"""What a peer may do, and how often it may do what is free for it and work for us."""

from __future__ import annotations

from dataclasses import dataclass

from sonic.server.http2.frames import ConnectionFault, Error

_LOOKS_FREE = 64
"""So few streams are not worth counting when a setting changes; an answered stream makes up for as many looks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do.

    Parameters
    ----------
    streams : int
        At the same time.
    window_bytes : int
        What it may send on a stream beyond what has been dealt with.
    frame_bytes : int
    header_bytes : int
        Of one list of headers. Up to four times as much is read, and the receiver's to refuse.
    resets : int
        Streams that it may give up unanswered, by a reset or by what nobody may send; each that is answered makes up
        for one.
    looks : int
        Streams that are looked at because it has changed a setting; those that are answered make up for some.
    """

    streams: int = 4096
    window_bytes: int = 1 << 24
    frame_bytes: int = 1 << 20
    header_bytes: int = 1 << 16
    resets: int = 10_000
    looks: int = 100_000


class Patience:
    """Counts what a peer makes us do for nothing.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._resets = 0
        self._looks = 0

    def reset(self) -> None:
        """Count a stream that is given up unanswered; ConnectionFault if there are too many."""
        self._resets += 1
        if self._resets > self._limits.resets:
            raise ConnectionFault(Error.ENHANCE_YOUR_CALM, "too many streams are opened only to be reset")

    def look(self, streams: int) -> None:
        """Count a change of a setting that makes work for so many streams; ConnectionFault if that is too often."""
        self._looks += max(0, streams - _LOOKS_FREE)
        if self._looks > self._limits.looks:
            raise ConnectionFault(Error.ENHANCE_YOUR_CALM, "the window changes all the time")

    def answered(self) -> None:
        """Count a stream that has its answer."""
        self._resets = max(0, self._resets - 1)
        self._looks = max(0, self._looks - _LOOKS_FREE)
