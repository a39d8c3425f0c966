"""``sonic study simulate``: a deployment on virtual time."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import TaskID
    from rich.table import Table

    from sonic.study.records import Record
    from sonic.study.simulation.run import Beside


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
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    from sonic.cli.study._progress import duration, left
    from sonic.cli.study._records import read
    from sonic.errors import ConfigError
    from sonic.study import storage
    from sonic.study.series import usable
    from sonic.study.simulation.examples import find
    from sonic.study.simulation.run import beside_measured, beside_published, like, load, replaced, simulate
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
    console, drawn = Console(width=_WIDTH), []
    total = sum(map(len, deployments))
    # On a narrow terminal the name gives way.
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    for points in deployments:
        scan = []
        columns = (BarColumn(12), TextColumn("{task.fields[at]}"), TextColumn("{task.fields[left]}"), name)
        live = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
        with _kept(records, total, to), live as progress:
            task = progress.add_task(points[0][1].target, total=len(points), at="", left="")
            for number, (settings, spec) in enumerate(points):
                chosen = replaced(spec, repeats=repeats, seed=seed)
                all_s = chosen.repeats * (chosen.warmup_s + chosen.window_s)
                where_at = f"point {number + 1} of {len(points)}, " if len(points) > 1 else ""

                def tell(
                    part: float, task: TaskID = task, done: int = number, at: str = where_at, s: float = all_s
                ) -> None:
                    (shown,) = progress.tasks
                    at = f"{at}{part * s:,.1f} of {s:,g} s simulated"
                    progress.update(task, completed=done + part, at=at, left=left(shown.time_remaining))

                scan.append(simulate(chosen, settings, tell))
                records.append(scan[-1])
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
