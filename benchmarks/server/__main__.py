"""`make bench-server`: what serving a model costs, by each way to the server, beside the model in process.

The server has one core, the load generator another. Every client has one request under way at any time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.server import floor, h2load, measure, report, wire
from benchmarks.server.cases import CASES
from benchmarks.server.processes import sonic_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.server.cases import Case
    from benchmarks.server.processes import Target


def main() -> int:
    """Measure what the command line asks for; exit status 1 if a case fails."""
    options = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        console.print("[red]two cores are needed: one for the server, one for the load generator[/red]")
        return 2
    try:
        h2load.find()
    except h2load.MissingToolError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    campaign = Campaign(options, console, server_cores=cores[:1], load_cores=cores[-1:])
    with tempfile.TemporaryDirectory(prefix="sonic-bench-models-") as folder:
        campaign.run(Path(folder))
    settings = {"seconds": options.seconds, "repeats": options.repeats, "cores": len(cores)}
    report.write(options.json, report.document(campaign.floors, campaign.points.values(), settings))
    console.print(f"written to {options.json}")
    return int(any(point.error for point in campaign.points.values()))


class Campaign:
    """All that is measured in one run. Repeats are outermost, so that a machine that drifts drifts for all alike."""

    def __init__(
        self, options: argparse.Namespace, console: Console, *, server_cores: Sequence[int], load_cores: Sequence[int]
    ) -> None:
        self._options = options
        self._console = console
        self._server_cores = server_cores
        self._load_cores = load_cores
        self._cases: list[Case] = [case for case in CASES if case.name in options.cases]
        self.floors: dict[str, list[measure.Sample]] = {case.name: [] for case in self._cases}
        self.points: dict[tuple[str, str, str, int], measure.Point] = {}

    def run(self, folder: Path) -> None:
        """Measure, and print a table of each case."""
        repository = folder / "models"
        models = {case.name: case.write(repository) for case in self._cases}
        for repeat in range(self._options.repeats):
            for case in self._cases:
                self._console.print(f"repeat {repeat + 1} of {self._options.repeats}: {case.name}", style="dim")
                alone = floor.run(case, models[case.name], self._options.seconds, self._server_cores)
                self.floors[case.name].append(measure.Sample(*alone))
            with sonic_server(repository, self._server_cores) as target:
                for case in self._cases:
                    self._measure(case, models[case.name], target, folder)
        for case in self._cases:
            samples = self.floors[case.name]
            typical = measure.Sample(median(s.per_s for s in samples), median(s.cpu_ms for s in samples))
            self._console.print(report.table(case, typical, [p for p in self.points.values() if p.case == case.name]))

    def _measure(self, case: Case, model: Path, target: Target, folder: Path) -> None:
        outputs = floor.right_outputs(case, model)
        with wire.region(case, target, outputs) as region:
            for name in self._options.transports:
                transport = wire.TRANSPORTS[name]
                if not transport.reaches(target):
                    continue
                shared = region if transport.shm else None
                request = wire.write(case, transport, target, folder, shared)
                for clients in self._options.clients or case.clients:
                    key = (target.name, case.name, name, clients)
                    point = self.points.get(key) or measure.Point(*key)
                    try:
                        taken = measure.sample(
                            request,
                            target,
                            outputs,
                            shared,
                            clients=clients,
                            seconds=self._options.seconds,
                            cores=self._load_cores,
                        )
                    except RuntimeError as error:
                        self.points[key] = measure.Point(*key, point.samples, str(error))
                    else:
                        self.points[key] = measure.Point(*key, (*point.samples, taken), point.error)


def _parser() -> argparse.ArgumentParser:
    def names(known: Sequence[str]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            given = text.split(",")
            unknown = set(given) - set(known)
            if unknown:
                raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
            return given

        return read

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    cases = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="make bench-server", description=__doc__)
    parser.add_argument("--cases", type=names(cases), default=cases, help=f"of {', '.join(cases)}")
    parser.add_argument(
        "--transports",
        type=names(list(wire.TRANSPORTS)),
        default=list(wire.TRANSPORTS),
        help=f"of {', '.join(wire.TRANSPORTS)}",
    )
    parser.add_argument("--clients", type=numbers, help="numbers of clients, e.g. 1,16; by default each case's own")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (median)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each repeat of each takes")
    parser.add_argument("--json", type=Path, default=Path("build/bench-server.json"), help="where the figures go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
