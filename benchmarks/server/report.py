"""What was measured, as tables in the terminal and as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.server.cases import Case
    from benchmarks.server.measure import Point, Sample

FLOOR = "in-process"


def table(case: Case, floor: Sample, points: Iterable[Point]) -> Table:
    """Return the table of one case."""
    shown = Table(
        "server",
        "transport",
        *(Column(header, justify="right") for header in ("clients", "requests/s", "spread", "CPU ms", "/ in-process")),
        title=f"{case.name}: {case.what}",
        title_justify="left",
    )
    shown.add_row("onnxruntime", FLOOR, "", f"{floor.per_s:,.0f}", "", f"{floor.cpu_ms:.3f}", "1")
    for point in points:
        if not point.samples:
            shown.add_row(point.server, point.transport, str(point.clients), f"[red]{point.error}[/red]")
            continue
        values = [sample.per_s for sample in point.samples]
        shown.add_row(
            point.server,
            point.transport,
            str(point.clients),
            f"{point.per_s:,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            f"{point.cpu_ms:.3f}",
            f"{point.per_s / floor.per_s:.3f}",
        )
    return shown


def document(
    floors: Mapping[str, Sequence[Sample]], points: Iterable[Point], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything measured, for JSON."""
    return {
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
        "settings": dict(settings),
        "in_process": {case: [asdict(sample) for sample in samples] for case, samples in floors.items()},
        "points": [
            {
                **asdict(point),
                "per_s": point.per_s if point.samples else None,
                "cpu_ms": point.cpu_ms if point.samples else None,
            }
            for point in points
        ],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
