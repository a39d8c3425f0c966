"""What was measured, as tables in the terminal and as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from benchmarks.server import marks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.common import Figure
    from benchmarks.server.campaign import Campaign, Plan
    from benchmarks.server.cases import Case
    from benchmarks.server.measure import Point, Sample

_WHOLE_CORE = 0.95
_VERDICTS = {None: "", True: "[green]reached[/green]", False: "[red]missed[/red]"}


class Report:
    """The findings of a campaign.

    Parameters
    ----------
    plan : Plan
    campaign : Campaign
        After its run.
    reference : Reference
        Published figures to stand beside ours.
    """

    def __init__(self, plan: Plan, campaign: Campaign, reference: marks.Reference) -> None:
        self._plan = plan
        self._floors = campaign.floors
        self._points = list(campaign.points.values())
        self._failures = campaign.failures
        self._reference = reference
        self._within = list(marks.within_run(self._points, self._floors, plan.cases, shares_core=plan.shares_core))
        self._beside = list(marks.beside_reference(self._points, self._floors, plan.cases, reference))
        self._alone = min(median(sample.cores for sample in samples) for samples in self._floors.values())
        self._machine = list(marks.speed_of_machine(self._floors, reference))

    @property
    def failed(self) -> bool:
        """Whether anything failed, or missed a goal that this run alone decides."""
        errors = any(point.error for point in self._points)
        missed = not self.busy and any(figure.reached is False for figure in self._within)
        return bool(self._failures) or errors or missed

    @property
    def busy(self) -> bool:
        """Whether others had so much of the server's core that requests a second say nothing."""
        return self._alone < _WHOLE_CORE

    def show(self, console: Console) -> None:
        """Print a table a case, then the ratios."""
        for case in self._plan.cases:
            points = [point for point in self._points if point.case == case.name]
            console.print(_case_table(case, self._floors[case.name], points))
        self._show_figures(console, "Ratios within this run", self._within)
        if self._plan.two_cores and self._plan.shares_core:
            console.print(
                "Two cores are all there are: the load generator shares one of the server's, so no goal holds."
            )
        if self._beside:
            self._show_figures(console, "Beside the published reference, another machine", self._beside)
            self._show_figures(console, "How fast this machine is beside that one", self._machine)
            console.print(f"The reference was measured on {self._reference.measured_on}.", highlight=False)
        if self.busy:
            console.print(
                f"[red]The machine was busy: a model in process got {self._alone:.2f} of its core. No goal is judged, "
                "and of the figures only processor times say something.[/red]"
            )
        for point in self._points:
            if point.error:
                what = f"{point.server}, {point.case}, {point.transport}, {point.clients} clients"
                console.print(f"{what}: {point.error}", style="red", markup=False)
        for failure in self._failures:
            console.print(failure, style="red", markup=False)

    def _show_figures(self, console: Console, title: str, figures: Sequence[Figure]) -> None:
        numbers = ("median", "smallest", "largest", "goal")
        table = Table(
            "figure", *(Column(name, justify="right") for name in numbers), "", title=title, title_justify="left"
        )
        for figure in figures:
            goal = "" if figure.goal is None else f"≥ {figure.goal:g}"
            values = (f"{x:.3f}" for x in (figure.value, figure.low, figure.high))
            table.add_row(figure.name, *values, goal, "" if self.busy else _VERDICTS[figure.reached])
        if figures:
            console.print(table)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        content = {
            "machine": {
                "platform": platform.platform(),
                "python": platform.python_version(),
                "cores": len(self._plan.cores),
            },
            "settings": {"repeats": self._plan.repeats, "seconds": self._plan.seconds},
            "in_process": {case: [asdict(sample) for sample in samples] for case, samples in self._floors.items()},
            "points": [asdict(point) for point in self._points],
            "busy": self.busy,
            "within_run": [asdict(figure) for figure in self._within],
            "beside_reference": [asdict(figure) for figure in self._beside],
            "reference": {"measured_on": self._reference.measured_on},
            "machine_beside_reference": [asdict(figure) for figure in self._machine],
            "failures": self._failures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")


def _case_table(case: Case, floor: Sequence[Sample], points: Sequence[Point]) -> Table:
    numbers = ("clients", "requests/s", "smallest", "largest", "CPU ms", "cores", "load", "/ in process")
    table = Table(
        "server",
        "transport",
        *(Column(name, justify="right") for name in numbers),
        title=f"{case.name}: {case.what}",
        title_justify="left",
    )
    floor_per_s = median(sample.per_s for sample in floor)
    rows: list[tuple[str, str, str, Sequence[Sample], str]] = [("onnxruntime", "in process", "", floor, "")]
    rows += [(point.server, point.transport, str(point.clients), point.samples, point.error) for point in points]
    for server, transport, clients, samples, error in rows:
        shown = _numbers(samples, floor_per_s) if samples else ("[red]failed[/red]",) if error else ()
        table.add_row(server, transport, clients, *shown)
    return table


def _numbers(samples: Sequence[Sample], floor_per_s: float) -> tuple[str, ...]:
    rates: list[Any] = [sample.per_s for sample in samples]
    rate, cpu_ms = median(rates), median(sample.cpu_ms for sample in samples)
    cores = median(sample.cores for sample in samples)
    shown = [f"{x:,.0f}" for x in (rate, min(rates), max(rates))]
    load = median(sample.load_cores for sample in samples)
    return (*shown, f"{cpu_ms:.3f}", f"{cores:.2f}", f"{load:.2f}" if load else "", f"{rate / floor_per_s:.3f}")
