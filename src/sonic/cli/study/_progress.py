"""How long something takes, for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write a duration: ``8 s``, ``3 min 05 s``, ``2 h 07 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def left(seconds: float | None) -> str:
    """Write how long the rest takes; nothing as long as nobody knows."""
    return "" if seconds is None else f"{duration(seconds)} left"
