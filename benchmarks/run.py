"""`make bench`: run every benchmark, or those named, and print each figure beside its goal."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from common import Figure

BENCHMARKS = (
    "service_vs_direct",
    "round_trip",
    "relay",
    "memory",
    "call_overhead",
    "load_aware",
    "shared_memory",
    "busy_poll",
    "framework_overhead",
    "coffea_runner",
    "hlt_path",
    "miniaod_shares",
    "emulators",
    "simulation",
    "load_generator",
    "card",
    "facile_firmware",
    "large_firmware",
)


def main() -> int:
    """Run the benchmarks; exit status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if left out")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (median, smallest, largest)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(BENCHMARKS)}")

    console = Console()
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores")
    figures: dict[str, list[Figure]] = {}
    for name in options.names or BENCHMARKS:
        benchmark = importlib.import_module(name)
        console.rule(name)
        console.print(benchmark.__doc__.strip())
        table = Table("figure", "median", "smallest", "largest", "goal", "")
        figures[name] = list(benchmark.measure(options.repeats, console))
        for figure in figures[name]:
            goal = "" if figure.goal is None else f"{'≤' if figure.at_most else '≥'} {figure.goal:g}"
            verdict = {None: "", True: "[green]reached[/green]", False: "[red]missed[/red]"}[figure.reached]
            table.add_row(figure.name, *(f"{x:.3f}" for x in (figure.value, figure.low, figure.high)), goal, verdict)
        console.print(table)
    if options.json:
        options.json.write_text(
            json.dumps({name: list(map(asdict, found)) for name, found in figures.items()}, indent=2)
        )
    return int(any(figure.reached is False for found in figures.values() for figure in found))


if __name__ == "__main__":
    sys.exit(main())
