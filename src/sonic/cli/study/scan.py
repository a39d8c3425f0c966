"""``sonic study scan``: a grid of loads, servers and networks, measured point by point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sonic.study.load.windows import Glance
    from sonic.study.records import Estimate, Record
    from sonic.study.scan.plan import Plan, Visit
    from sonic.study.scan.run import Standing, Summary
    from sonic.study.scan.spec import Point, Spec


_WIDTH = 200
"""At most, of the table: figures are not cut, whatever the terminal."""

_AGAIN = ("failed", "unstable", "measured", "all")


def _ready(incomplete: str) -> list[str]:
    from sonic.study.scan.files import ready

    return [name for name in ready() if name.startswith(incomplete)]


def _statuses(incomplete: str) -> list[str]:
    return [status for status in _AGAIN if status.startswith(incomplete)]


def scan(
    spec: Annotated[
        str,
        typer.Argument(metavar="SPEC", help="A file, or a scan that comes with Sonic.", autocompletion=_ready),
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Records: .jsonl or .parquet.", show_default="SPEC's name with .jsonl"),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(_AGAIN),
            help="Measure such points again, too; repeatable.",
            autocompletion=_statuses,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the points and how long they take, and measure none.")
    ] = False,
) -> None:
    """Measure all points of a grid: clients, batches, instances, protocols, networks, backends and others.

    Each is recorded as soon as it is there. With rounds in the specification all are measured so many times, there and
    back, so that a machine whose speed drifts does not bend the curves. A scan that was interrupted, by SIGTERM too,
    goes on where it was when it is called again. Ends with 1 if a point or a request failed.

    \b
    Examples:
      sonic study scan facile --dry-run
      sonic study scan facile --to facile.jsonl
      sonic study scan mine.toml --again failed --again unstable
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    from sonic.cli._console import open_console
    from sonic.cli._signals import Terminated, terminable
    from sonic.cli.study._progress import left
    from sonic.study.records import failures
    from sonic.study.scan.files import read
    from sonic.study.scan.measuring import LoadMeasurement
    from sonic.study.scan.plan import read_again
    from sonic.study.scan.preflight import check
    from sonic.study.scan.run import prepare
    from sonic.study.scan.run import scan as run

    wanted, file = read(spec)
    path = to or Path(f"{file.stem}.jsonl")
    statuses = read_again(again or ())
    todo = prepare(wanted, path, statuses)
    check(wanted, todo.points, file.parent)
    console, notes = open_console(), open_console(stderr=True)
    if dry_run:
        _show_plan(wanted, todo, console)
        return
    # On a narrow terminal the name of the point gives way.
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    name = TextColumn("{task.description}", markup=False, table_column=rest)
    columns = (BarColumn(12), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), name)
    with Progress(*columns, console=notes, transient=True, expand=True) as bar:
        total = len(wanted.points) * wanted.rounds
        task = bar.add_task("", total=total, completed=total - len(todo.visits), left="")

        def progress(news: Standing) -> None:
            now = "" if news.visit is None else _visited(news.visit, wanted)
            if news.record is not None:
                notes.print(f"{now}: {_outcome(news.record)}", markup=False, highlight=False, soft_wrap=True)
            bar.update(task, completed=news.done, left=left(news.left_s), point=now, description=now)

        def glance(news: Glance) -> None:
            (shown,) = bar.tasks
            bar.update(task, description=f"{shown.fields['point']}: {news.phase}, {news.recent.rate:,.0f}/s")

        measure = LoadMeasurement(file.parent, glance)
        with terminable() as came:
            summary = run(wanted, path, base=file.parent, again=statuses, measure=measure, progress=progress)
    if summary.records:
        open_console(width=_WIDTH).print(_table(summary.records, wanted))
    for record in summary.records:
        if record.status != "measured" or record.reason:
            line = f"{_name(record, wanted)}: {_outcome(record)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if summary.interrupted:
        once_more = ", and measures again what it has measured to its end" if "measured" in statuses else ""
        said = f"{_standing(summary, wanted)} are in {path}; the same command goes on{once_more}"
        notes.print(said, markup=False, soft_wrap=True)
        raise Terminated if came else KeyboardInterrupt
    typer.echo(path)
    if any(record.status == "failed" or failures(record) for record in summary.records):
        raise typer.Exit(1)


def _name(point: Point | Record, spec: Spec) -> str:
    """Name a point by what sets it apart."""
    from sonic.study.records import written

    varied = (f"{name}={written(point.settings[name])}" for name in spec.varied if name in point.settings)
    return " ".join([point.target, *varied])


def _visited(visit: Visit, spec: Spec) -> str:
    """Name a measurement: its round, if there are several, and its point."""
    name = _name(visit.point, spec)
    return name if spec.rounds == 1 else f"round {visit.round} of {spec.rounds}, {name}"


def _outcome(record: Record) -> str:
    """Write what came of a measurement on one line."""
    from sonic.study.histogram import quantile

    words = []
    if record.throughput is not None:
        words.append(f"{record.throughput.value:,.1f}/s")
    if record.latencies is not None:
        words.append(f"p50 {_ms(quantile(record.latencies, 0.5))} ms")
    if record.status != "measured":
        words.append(f"{record.status}:")
    return " ".join([*words, record.reason]).rstrip()


def _standing(summary: Summary, spec: Spec) -> str:
    """Say how much of a scan there is."""
    if spec.rounds == 1:
        return f"{len(summary.records)} of {len(spec.points)} points"
    total = len(spec.points) * spec.rounds
    return f"{total - summary.missing} of {total} measurements ({spec.rounds} rounds of {len(spec.points)} points)"


def _table(records: list[Record], spec: Spec) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from sonic.study.histogram import quantile
    from sonic.study.records import counted, written

    names = [name for name in spec.varied if any(name in record.settings for record in records)]
    table = Table(box=None, pad_edge=False)
    per_request, per_row = (f"{what}/s" for what in counted(records))
    timed = any(record.latencies is not None for record in records)  # which jobs are not
    figures = (per_request, "±", per_row, *(["p50 (ms)", "p99 (ms)"] if timed else []), "rows executed")
    for column in (*(["target"] if len(spec.targets) > 1 else []), *names, *figures):
        table.add_column(column.replace("_", "\n").replace(" ", "\n"), justify="right", no_wrap=True)
    if any(record.status != "measured" for record in records):
        table.add_column("")
    for record in records:
        row = [escape(record.target)] if len(spec.targets) > 1 else []
        row += [escape(written(record.settings.get(name))) for name in names]
        row += [_rate(record.throughput), _half(record.throughput), _rate(record.row_rate)]
        latencies = record.latencies
        row += ["" if latencies is None else _ms(quantile(latencies, part)) for part in (0.5, 0.99) if timed]
        servers = [window.server for window in record.windows if window.server is not None]
        executions = sum(server.executions for server in servers)
        row.append(_number(sum(server.rows for server in servers) / executions) if executions else "")
        table.add_row(*row, *([] if record.status == "measured" else [record.status]))
    return table


def _rate(estimate: Estimate | None) -> str:
    return "" if estimate is None else _number(estimate.value)


def _half(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.high is None else _number(estimate.high - estimate.value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def _show_plan(spec: Spec, todo: Plan, console: Console) -> None:
    from sonic.cli.study._progress import duration
    from sonic.study.scan.plan import estimated_s

    for point in todo.points:
        console.print(str(point), markup=False, highlight=False, soft_wrap=True)
    much = f"{len(todo.points)} of {len(spec.points)} points to be measured"
    if spec.rounds > 1:
        much += f" in {spec.rounds} rounds: {len(todo.visits)} of {len(spec.points) * spec.rounds} measurements"
    long = duration(estimated_s([visit.point for visit in todo.visits], spec))
    console.print(f"{much}, {long} if all are stable at once", markup=False, highlight=False, soft_wrap=True)
