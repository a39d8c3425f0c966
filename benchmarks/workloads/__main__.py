"""`make bench-workloads`: measure the workloads, or those named, and print the tables."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.workloads import case, table
from benchmarks.workloads.measure import measure
from sonic.errors import ConfigError, SonicError

_WIDTH = 200  # where there is no terminal


def main() -> int:
    """Measure what the command line asks for.

    Exit status 1 if a workload fails, if one that is named lacks a package, or if an output depends on the route.
    """
    there = case.names()
    parser = argparse.ArgumentParser(prog="benchmarks.workloads", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}; all if left out")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long a job lasts (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it to this file as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to this file as well")
    options = parser.parse_args()
    if unknown := set(options.names) - set(there):
        parser.error(f"no workload {', '.join(sorted(unknown))}: there are {', '.join(there)}")
    if options.repeats < 1:
        parser.error(f"--repeats must be 1 or more, got {options.repeats}")

    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores")
    found, skipped, failed = [], {}, {}
    with console.status("") as status:

        def note(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, style="dim")

        for name in options.names or there:
            with tempfile.TemporaryDirectory(prefix="sonic-bench-") as folder:
                try:
                    found.append(
                        measure(
                            name,
                            case.load(name),
                            Path(folder),
                            repeats=options.repeats,
                            seconds=options.seconds,
                            note=note,
                        )
                    )
                except (ConfigError, ImportError) as error:
                    skipped[name] = str(error)
                except SonicError as error:
                    failed[name] = str(error)
    for one in table.terminal(found):
        console.print(one)
    for name, why in skipped.items():
        console.print(f"{name} left out: {why}", style="yellow", markup=False)
    for name, why in failed.items():
        console.print(f"{name} failed: {why}", style="red", markup=False)
    if options.json:
        options.json.write_text(table.as_json(found, skipped, failed))
    if options.markdown:
        options.markdown.write_text(table.markdown(found))
    return int(bool(failed) or bool(skipped.keys() & set(options.names)) or any(not one.same for one in found))


if __name__ == "__main__":
    sys.exit(main())
