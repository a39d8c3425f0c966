"""The windows of a measurement: what load and server count in each, until they agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from sonic.errors import SonicError
from sonic.study.histogram import Histogram
from sonic.study.load.crew import Crew
from sonic.study.load.server import cores_between
from sonic.study.load.stable import disagreement, estimate, growth
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.study.load.crew import Work
    from sonic.study.load.server import Sample, ServerWatch
    from sonic.study.load.settings import LoadSettings
    from sonic.study.records import Window

_SLICE_S = 0.25
"""How often there is news, at most."""

_FAR = 0.5
"""The server's counters are not those of a window if what lies between them is longer or shorter by this part of it."""


@dataclass(frozen=True)
class Glance:
    """How a measurement stands.

    Parameters
    ----------
    phase : {"warming up", "measuring"}
    windows : int
        That have ended.
    recent : Tally
        Of the last slice.
    trouble : str
        Why it goes on: how the last windows differ.
    """

    phase: str
    windows: int
    recent: Tally
    trouble: str = ""


class Windows:
    """The windows of a measurement, as they come in.

    Parameters
    ----------
    settings : LoadSettings
    progress : callable, optional
        Called with each slice's :class:`Glance`.
    """

    def __init__(self, settings: LoadSettings, progress: Callable[[Glance], None] | None = None) -> None:
        self._settings = settings
        self._progress = progress
        self._slices = ceil(settings.window_s / _SLICE_S)
        self._slice_s = settings.window_s / self._slices
        self._tallies: list[Tally] = []
        self._windows: list[Window] = []
        self._unread_s: list[float | None] = []

    def run(self, works: Sequence[Work], watch: ServerWatch) -> str:
        """Measure until windows agree; return why they do not, or nothing.

        Raises
        ------
        SonicError
            If a process fails, or all requests of a window do.
        """
        settings, trouble = self._settings, ""
        with Crew(works) as crew:
            warmup = ceil(settings.warmup_s / self._slice_s)
            slices = crew.slices(self._slice_s)
            before, tally = watch.sample(), Tally()
            for number, recent in enumerate(slices, 1 - warmup):
                if self._progress is not None:
                    phase = "measuring" if number > 0 else "warming up"
                    self._progress(Glance(phase, len(self._tallies), recent, trouble))
                if number <= 0:
                    before = watch.sample() if number == 0 else None
                    continue
                tally.then(recent)
                if number % self._slices:
                    watch.look()
                    continue
                after = watch.sample()
                self._end_window(tally, watch, before, after)
                before, tally = after, Tally()
                if len(self._tallies) < settings.agreeing:
                    continue
                trouble = self._trouble(warmup * self._slice_s)
                if not trouble or len(self._tallies) >= settings.most_windows:
                    break
        if not sum(tally.requests for tally in self._tallies):
            raise SonicError(trouble)
        return trouble

    def _trouble(self, warmup_s: float) -> str:
        """Say why the last windows are not stable; empty if they are."""
        settings = self._settings
        earlier, last = self._tallies[: -settings.agreeing], self._tallies[-settings.agreeing :]
        random = settings.rate is not None and settings.arrivals == "poisson"
        trouble = disagreement(last, settings.tolerance, random=random)
        if trouble or settings.rate is None:
            return trouble
        return growth(last, warmup_s + sum(window.duration_s for window in earlier))

    @property
    def errors(self) -> str:
        """What became of requests that failed; empty if none did."""
        tallies = self._tallies[-self._settings.repeats :]
        errors = sum(tally.errors for tally in tallies)
        if not errors:
            return ""
        first = next(tally.error for tally in tallies if tally.errors)
        return (
            f"{errors:,} of {errors + sum(tally.requests for tally in tallies):,} requests failed, the first: {first}"
        )

    def _end_window(self, tally: Tally, watch: ServerWatch, before: Sample | None, after: Sample | None) -> None:
        if tally.errors and not tally.requests:
            raise SonicError(f"all of {tally.errors} requests failed, the first: {tally.error}")
        self._tallies.append(tally)
        apart_s = after.at_s - before.at_s if before and after else tally.duration_s
        is_far = abs(apart_s - tally.duration_s) > _FAR * tally.duration_s
        self._unread_s.append(apart_s if is_far else None)
        if is_far:
            before = after = None
        self._windows.append(tally.window(watch.window(before, after), cores_between(before, after)))

    @property
    def unread(self) -> str:
        """How many windows lack what the server counted, as reading it took too long; empty if none does."""
        last_s = self._unread_s[-self._settings.repeats :]
        apart_s = [apart_s for apart_s in last_s if apart_s is not None]
        if not apart_s:
            return ""
        return (
            f"of the server {len(apart_s)} of {len(last_s)} windows say nothing, since its counters were read "
            f"{max(apart_s):.2g} s apart and a window has {self._settings.window_s:g} s: give longer windows"
        )

    def figures(self) -> dict[str, Any]:
        """Return the fields of a record that come from the last windows."""
        tallies, windows = self._tallies[-self._settings.repeats :], self._windows[-self._settings.repeats :]
        if not sum(tally.requests for tally in tallies):
            return {"windows": tuple(windows)}
        latencies, seconds = Histogram(), Counter[str]()
        for tally in tallies:
            latencies += tally.latencies
            seconds.update(tally.seconds)
        events = seconds.pop("events", 0.0)
        found: dict[str, Any] = {
            "throughput": estimate([tally.rate for tally in tallies]),
            "row_rate": estimate([tally.rows / tally.duration_s for tally in tallies]),
            "latencies": latencies.latencies(),
            "windows": tuple(windows),
        }
        if events:
            found["details"] = {name: total / events for name, total in sorted(seconds.items())}
        return found
