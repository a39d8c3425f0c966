"""A screen as a terminal shows it."""

from __future__ import annotations

from dataclasses import replace
from heapq import nlargest
from math import isfinite
from typing import TYPE_CHECKING

from rich.console import Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from sonic.monitor.rates import ModelRates, Scrape
    from sonic.monitor.watch import Screen

_BARS = "▁▂▃▄▅▆▇█"
_FEWEST = 4
"""Bars that are worth a column."""


def render(screen: Screen, url: str, height: int | None = None) -> RenderableType:
    """Return the screen, with where it comes from on top, in `height` lines at most: of the models then the busiest."""
    head = [Text.assemble(("sonic top ", "bold"), (url, "dim")), _machine(screen.last)]
    if screen.trouble:
        head.append(Text(f"gone for {screen.silent_s:.0f} s, trying on: {_safe(screen.trouble)}", style="bold red"))
    if screen.models is None and not screen.trouble:
        head.append(Text("rates come with the second answer", style="dim"))
    elif screen.models == ():
        head.append(Text("no model is loaded", style="dim"))
    return _Page(Group(*filter(None, head)), screen, height)


def _machine(scrape: Scrape | None) -> Text:
    facts: list[str] = []
    if scrape is not None and scrape.cpu_utilization is not None:
        facts.append(f"CPU {scrape.cpu_utilization:.0%}")
    if scrape is not None and scrape.memory_bytes is not None:
        used, total = (each / 2**30 for each in scrape.memory_bytes)
        facts.append(f"memory {used:.1f} of {total:.1f} GiB")
    if scrape is not None and scrape.gpu_utilization:
        facts.append("GPU " + " ".join(f"{each:.0%}" for each in scrape.gpu_utilization.values()))
    return Text("  ".join(facts))


class _Page:
    """What there is to say, and below it the table; where that has more rows than there are lines, the busiest."""

    def __init__(self, head: Group, screen: Screen, height: int | None) -> None:
        self._head = head
        self._screen = screen
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._head
        models = self._screen.models or ()
        if self._height is None:
            room = len(models)
        else:
            above = len(console.render_lines(self._head, options.reset_height()))
            room = max(self._height - above - 1, 1)  # the columns' names take a line, too
        if len(models) > room:
            busiest = {(row.name, row.version) for row in nlargest(max(room - 1, 1), models, key=_activity)}
            kept = tuple(row for row in models if (row.name, row.version) in busiest)
            yield Text(f"{len(kept)} of {len(models)} models: the busiest", style="dim")
            yield _Models(replace(self._screen, models=kept))
        elif models:
            yield _Models(self._screen)


def _activity(row: ModelRates) -> float:
    return sum(filter(isfinite, (row.requests_per_s, row.failures_per_s, row.pending)))


class _Models:
    """The table: as many columns as there is room for, and bars in what is left."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        without: set[str] = set()
        for name in _FIRST_TO_GO:
            if Measurement.get(console, options.update(width=1000), _table(self._screen, without)).minimum > (
                options.max_width
            ):
                without.add(name)
        table = _table(self._screen, without)
        left = options.max_width - Measurement.get(console, options.update(width=1000), table).maximum - _GAP
        longest = max(map(len, self._screen.past.values()), default=0)
        yield _table(self._screen, without, left) if left >= _FEWEST and longest > 1 else table


def _table(screen: Screen, without: Collection[str] = (), places: int = 0) -> Table:
    old = "dim" if screen.trouble else ""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", style=old)
    table.add_column("model", overflow="fold", min_width=8)
    columns = {name: cell for name, cell in _COLUMNS.items() if name not in without}
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    if places:
        table.add_column("", no_wrap=True)
    for row in screen.models or ():
        cells = [Text(_safe(cell(row))) for cell in columns.values()]
        if row.failures_per_s > 0 and "fail/s" in columns and not old:
            cells[-1].stylize("red")
        if places:
            cells.append(Text(bars(screen.past.get((row.name, row.version), ())[-places:])))
        table.add_row(Text(_safe(row.name)), *cells, style=old)
    return table


def _safe(text: str) -> str:
    """Write what a server says such that no terminal takes it for an order."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def number(value: float | None, unit: str = "") -> str:
    """Return a number as short as it stays telling; ``-`` for one that is not there, or not finite."""
    if value is None or not isfinite(value):
        return "-"
    if 0 < value < 0.01:
        return f"<0.01{unit}"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}{unit}"


def bars(values: Sequence[float]) -> str:
    """Return values as bars from zero to the largest, with a gap for one that is not finite."""
    top = max(filter(isfinite, values), default=0.0)
    return "".join(_bar(value / top if top else 0.0) if isfinite(value) else " " for value in values)


def _bar(part: float) -> str:
    return _BARS[round(part * (len(_BARS) - 1))]


_GAP = 2
_COLUMNS: dict[str, Callable[[ModelRates], str]] = {
    "ver": lambda row: row.version,
    "req/s": lambda row: number(row.requests_per_s),
    "rows/s": lambda row: number(row.rows_per_s),
    "batch": lambda row: number(row.batch),
    "latency": lambda row: number(row.latency_ms, " ms"),
    "queue": lambda row: number(row.queue_ms, " ms"),
    "waiting": lambda row: number(row.pending),
    "fail/s": lambda row: number(row.failures_per_s),
}
_FIRST_TO_GO = ("rows/s", "ver", "queue", "fail/s", "batch")
