"""What was found, as a table for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.workloads.case import Found, Repeat

COST = ("workload", "offloaded", "request", "job direct, ms an event", "as a service", "ratio", "hidden", "same bits")
ALGORITHM = ("workload", "offloaded, ms an event", "ordinary algorithm", "ratio", "figure of merit", "ordinary's")


def cost(found: Found) -> tuple[str, ...]:
    """Return what the job costs by each route: medians, and of ratios the smallest and the largest, too."""
    return (
        _name(found),
        ", ".join(dict.fromkeys(found.models)),
        _bytes(found.request_bytes) + (f", {found.requests:.3g} an event" if found.requests > 1 else ""),
        _number(found.middle(lambda r: r.job_direct_ms)),
        _number(found.middle(lambda r: r.job_service_ms)),
        _ratio(found, lambda r: r.job_service_ms / r.job_direct_ms),
        f"{100 * (found.middle(lambda r: r.hidden) or 0):.0f} %",
        "yes" if found.same else "NO",
    )


def algorithm(found: Found) -> tuple[str, ...]:
    """Return what the offloaded modules take and reach by themselves, and what the ordinary algorithm does."""
    return (
        f"{_name(found)} ({found.remark})" if found.remark else _name(found),
        _number(found.middle(lambda r: r.algorithm_ms)),
        f"{_number(found.middle(lambda r: r.ordinary_ms))} ({found.ordinary})" if found.ordinary else "-",
        _ratio(found, lambda r: None if r.ordinary_ms is None else r.ordinary_ms / r.algorithm_ms),
        found.merit,
        found.ordinary_merit or "-",
    )


def terminal(rows: Sequence[Found]) -> tuple[Table, Table]:
    """Return what a terminal shows."""
    tables = Table(*COST), Table(*ALGORITHM)
    for found in rows:
        tables[0].add_row(*cost(found))
        tables[1].add_row(*algorithm(found))
    return tables


def markdown(rows: Sequence[Found]) -> str:
    """Return what a page shows."""
    both = (COST, *map(cost, rows)), (ALGORITHM, *map(algorithm, rows))
    return "\n".join(_lines([head, tuple("---" for _ in head), *body]) for head, *body in both)


def as_json(rows: Sequence[Found], skipped: dict[str, str], failed: dict[str, str]) -> str:
    """Return everything, repeat by repeat, and why others are not there, by name."""
    document = {"found": [asdict(found) for found in rows], "skipped": skipped, "failed": failed}
    return json.dumps(document, indent=2) + "\n"


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _name(found: Found) -> str:
    return found.name.replace("_", "-")


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
