"""What was found, as a table for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.workloads.case import Found, Repeat

HEAD = (
    "workload",
    "request",
    "job direct, ms an event",
    "as a service",
    "service / direct",
    "hidden",
    "offloaded alone, ms an event",
    "ordinary algorithm",
    "ordinary / offloaded",
    "figure of merit",
    "ordinary's",
    "same bits",
)


def cells(found: Found) -> tuple[str, ...]:
    """Return a row: medians, and of ratios the smallest and the largest, too."""
    models = ", ".join(dict.fromkeys(found.models))
    return (
        f"{found.name}: {models}" + (f" ({found.remark})" if found.remark else ""),
        _bytes(found.request_bytes) + (f", {found.requests:.3g} an event" if found.requests > 1 else ""),
        _number(found.middle(lambda r: r.job_direct_ms)),
        _number(found.middle(lambda r: r.job_service_ms)),
        _ratio(found, lambda r: r.job_service_ms / r.job_direct_ms),
        f"{100 * (found.middle(lambda r: r.hidden) or 0):.0f} %",
        _number(found.middle(lambda r: r.algorithm_ms)),
        f"{_number(found.middle(lambda r: r.ordinary_ms))} ({found.ordinary})" if found.ordinary else "-",
        _ratio(found, lambda r: None if r.ordinary_ms is None else r.ordinary_ms / r.algorithm_ms),
        found.merit,
        found.ordinary_merit or "-",
        "yes" if found.same else "NO",
    )


def terminal(rows: Sequence[Found]) -> Table:
    """Return what a terminal shows."""
    table = Table(*HEAD)
    for found in rows:
        table.add_row(*cells(found))
    return table


def markdown(rows: Sequence[Found]) -> str:
    """Return what a page shows."""
    lines = [HEAD, tuple("---" for _ in HEAD), *map(cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_json(rows: Sequence[Found], skipped: dict[str, str]) -> str:
    """Return everything, repeat by repeat."""
    return json.dumps({"found": [asdict(found) for found in rows], "skipped": skipped}, indent=2) + "\n"


def _ratio(found: Found, of: Callable[[Repeat], float | None]) -> str:
    values = [value for repeat in found.repeats if (value := of(repeat)) is not None]
    if not values:
        return "-"
    spread = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    return _number(found.middle(of)) + spread


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _bytes(size: float) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.2g} kB" if size < 1e4 else f"{size / 1e3:.0f} kB"
