"""``sonic study simulate``: a deployment on virtual time."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress
    from rich.table import Table

    from sonic.study.records import Record, Setting
    from sonic.study.simulation.run import Beside
    from sonic.study.simulation.spec import Spec


_WIDTH = 200
"""At most, of tables: figures are not cut, whatever the terminal."""


def _names(incomplete: str) -> list[str]:
    from sonic.study.simulation.examples import names

    return [name for name in names() if name.startswith(incomplete)]


def simulate(
    specs: Annotated[
        list[str] | None,
        typer.Argument(metavar="SPEC...", help="Files (TOML), or names of specs that ship.", autocompletion=_names),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", "-o", metavar="NAME=V,V,...", help="Another axis of the grid: clients=1,2,4,8."),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of a spec: records of a model and its server on this host."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="With --measured: only points that have it.")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the records: JSON lines, or Parquet.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a paper's scans over its points (.png, .svg, .pdf).")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Each with another seed.", show_default="the spec's")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The first.", show_default="the spec's")] = None,
) -> None:
    """Simulate a deployment on virtual time: batcher, pool, retries and graph as they ship, servers made of figures.

    \b
    Examples:
      sonic study simulate deployment.toml
      sonic study simulate deployment.toml --over jobs=100,200 --over servers.speed=1,2 --to simulated.jsonl
      sonic study simulate --measured scan.jsonl --over clients=1,2,4,8,16,32,64
      sonic study simulate miniaod-ak4     # a paper's scan, beside its points
      sonic study simulate protodune
    """
    from sonic.cli._console import open_console
    from sonic.cli.study._progress import duration
    from sonic.cli.study._records import read
    from sonic.errors import ConfigError
    from sonic.study import storage
    from sonic.study.series import usable
    from sonic.study.simulation.examples import find
    from sonic.study.simulation.run import beside_measured, beside_published, like, load
    from sonic.study.simulation.specfile import axis

    if bool(specs) == (measured is not None):
        raise ConfigError("give a SPEC, or --measured FILE: one of the two")
    if plot is not None:
        from sonic.study.plots.write import check_picture

        check_picture(plot)
    if to is not None:
        storage.ready(to)
    axes = dict(axis(text) for text in over or ())
    if where and measured is None:
        raise ConfigError("--where chooses among the records of --measured: give those too")
    known = usable(read([measured], where or []))[0] if measured is not None else []
    deployments = [load(path, axes) for name in specs or () for path in find(name)] if specs else [like(known, axes)]
    if plot is not None:  # before hours are simulated
        from sonic.study.simulation.pictures import published_axes

        published_axes([points[0][1] for points in deployments])
    records: list[Record] = []
    console, drawn = open_console(width=_WIDTH), []
    total = sum(map(len, deployments))
    for points in deployments:
        scan = []
        with _kept(records, total, to):
            for record in _simulated(points, repeats, seed):
                scan.append(record)
                records.append(record)
                if to is not None:  # also what is done, should the rest be interrupted
                    storage.write(records, to)
        console.print(_table(scan))
        for line in usable(scan)[1]:
            typer.echo(line)
        compared = beside_published(scan, points[0][1]) or beside_measured(scan, known, axes)
        drawn.append((points[0][1], scan))
        if compared:
            console.print(_comparison(compared, "measured" if known else "published"))
    if plot is not None:
        from sonic.study.plots.write import save_figure
        from sonic.study.simulation.pictures import over_published

        save_figure(over_published(drawn), plot)
    steps, took_s = (sum(each.details[name] for each in records) for name in ("steps", "took_s"))
    typer.echo(f"{steps:,.0f} steps of the simulation in {duration(took_s)}: {steps / took_s:,.0f} a second")


def _simulated(
    points: Sequence[tuple[dict[str, Setting], Spec]], repeats: int | None, seed: int | None
) -> Iterator[Record]:
    """Simulate one point after another, and show how far that is."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    from sonic.cli._console import open_console
    from sonic.study.simulation.run import replaced, simulate

    # On a narrow terminal the name gives way.
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    columns = (BarColumn(12), TextColumn("{task.fields[at]}"), TextColumn("{task.fields[left]}"), name)
    with Progress(*columns, console=open_console(stderr=True), transient=True, expand=True) as progress:
        progress.add_task(points[0][1].target, total=len(points), at="", left="")
        for number, (settings, spec) in enumerate(points):
            chosen = replaced(spec, repeats=repeats, seed=seed)
            all_s = chosen.repeats * (chosen.warmup_s + chosen.window_s)
            yield simulate(chosen, settings, partial(_tell, progress, number, len(points), all_s))


def _tell(progress: Progress, number: int, count: int, all_s: float, part: float) -> None:
    """Show that a part of a point is simulated, which takes so long in virtual time."""
    from sonic.cli.study._progress import left

    (task,) = progress.tasks
    where = f"point {number + 1} of {count}, " if count > 1 else ""
    at = f"{where}{part * all_s:,.1f} of {all_s:,g} s simulated"
    progress.update(task.id, completed=number + part, at=at, left=left(task.time_remaining))


@contextmanager
def _kept(records: Sequence[Record], total: int, to: Path | None) -> Iterator[None]:
    """Say after Ctrl-C which part of the points is in the file."""
    try:
        yield
    except KeyboardInterrupt:
        if to is not None:
            typer.echo(f"{len(records)} of {total} points are in {to}", err=True)
        raise


def _plain_table(*columns: str, **options: Any) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), **options)
    for column in columns:
        table.add_column(column.replace("_", "\n"), justify="right", no_wrap=True)
    return table


def _table(scan: Sequence[Record]) -> Table:
    from rich.markup import escape

    from sonic.study.simulation.tables import COLUMNS, row, varied

    names = varied(scan)
    columns = {name: cell for name, cell in COLUMNS.items() if any(cell(record) for record in scan)}
    table = _plain_table(*names, *columns, title=escape(scan[0].target), title_justify="left")
    for record in scan:
        table.add_row(*map(escape, row(record, names)), *(cell(record) for cell in columns.values()))
    return table


def _comparison(compared: Sequence[Beside], there: str) -> Table:
    from rich.markup import escape

    from sonic.study.records import digits

    table = _plain_table("", "", there, "simulated", "deviation")
    for each in compared:
        table.add_row(each.what, escape(each.at), digits(each.there, 4), digits(each.here, 4), f"{each.deviation:+.1%}")
    return table
