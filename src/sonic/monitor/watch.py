"""A server over time: what the last scrapes say, also while there is no answer. Knows no clock: time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.monitor.rates import rates

if TYPE_CHECKING:
    from sonic.monitor.rates import ModelRates, Scrape

KEPT = 20
"""Rates that are kept of each model."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What there is to show.

    Attributes
    ----------
    models : tuple of ModelRates or None
        None until there have been two answers.
    last : Scrape or None
        The last answer.
    past : mapping of (str, str) to tuple of float
        Requests a second in the last intervals, by name and version, the newest last.
    trouble : str
        Why there is no answer; empty if there is.
    silent_s : float
        How long there has been none.
    """

    models: tuple[ModelRates, ...] | None
    last: Scrape | None
    past: dict[tuple[str, str], tuple[float, ...]]
    trouble: str = ""
    silent_s: float = 0.0


class Watch:
    """Makes screens of answers, and of their absence."""

    def __init__(self) -> None:
        self._last: Scrape | None = None
        self._last_s = 0.0
        self._since_s: float | None = None
        self._models: tuple[ModelRates, ...] | None = None
        self._past: dict[tuple[str, str], deque[float]] = {}

    def answered(self, scrape: Scrape, now_s: float) -> Screen:
        """Take an answer that came at `now_s`, on any clock that does not jump."""
        if self._last is not None and now_s > self._last_s:
            self._models = rates(self._last, scrape, now_s - self._last_s)
            gone = self._past.keys() - scrape.models.keys()
            for key in gone:
                del self._past[key]
            for row in self._models:
                self._past.setdefault((row.name, row.version), deque(maxlen=KEPT)).append(row.requests_per_s)
        self._last, self._last_s, self._since_s = scrape, now_s, None
        return self._screen()

    def failed(self, trouble: str, now_s: float) -> Screen:
        """Note that none came. The next answer is the first again: a mean over a gap says little."""
        if self._since_s is None:
            self._since_s = now_s if self._last is None else self._last_s
        screen = self._screen(trouble, now_s - self._since_s)
        self._last = None
        return screen

    def _screen(self, trouble: str = "", silent_s: float = 0.0) -> Screen:
        past = {key: tuple(values) for key, values in self._past.items()}
        return Screen(self._models, self._last, past, trouble, silent_s)
