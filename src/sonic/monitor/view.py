"""A screen as a terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sonic.monitor.rates import Scrape
    from sonic.monitor.watch import Screen

_BARS = "▁▂▃▄▅▆▇█"


def render(screen: Screen, url: str) -> RenderableType:
    """Return the screen, with where it comes from on top."""
    parts: list[RenderableType] = [Text.assemble(("sonic top ", "bold"), (url, "dim")), _machine(screen.last)]
    if screen.trouble:
        parts.append(Text(f"gone for {screen.silent_s:.0f} s, trying on: {screen.trouble}", style="bold red"))
    if screen.models is None:
        parts.append(Text("" if screen.trouble else "rates come with the second answer", style="dim"))
    elif screen.models:
        parts.append(_table(screen))
    else:
        parts.append(Text("no model is loaded", style="dim"))
    return Group(*(part for part in parts if not isinstance(part, Text) or part.plain))


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


def _table(screen: Screen) -> Table:
    old = "dim" if screen.trouble else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", style=old)
    table.add_column("model", overflow="ellipsis", no_wrap=True, min_width=8)
    for name in ("ver", "req/s", "rows/s", "batch", "latency", "queue", "waiting", "fail/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in screen.models or ():
        table.add_row(
            row.name,
            row.version,
            number(row.requests_per_s),
            number(row.rows_per_s),
            number(row.batch),
            number(row.latency_ms, " ms"),
            number(row.queue_ms, " ms"),
            number(row.pending),
            Text(number(row.failures_per_s), style="red" if row.failures_per_s and not old else ""),
            bars(screen.past.get((row.name, row.version), ())),
            style=old,
        )
    return table


def number(value: float | None, unit: str = "") -> str:
    """Return a number as short as it stays telling; ``-`` for None."""
    if value is None:
        return "-"
    if 0 < value < 0.01:
        return f"<0.01{unit}"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}{unit}"


def bars(values: Sequence[float]) -> str:
    """Return values as bars from zero to the largest."""
    top = max(values, default=0.0)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] if top else _BARS[0] for value in values)
