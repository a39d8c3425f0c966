"""``sonic study fit``: capacity models against what was measured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer

from sonic.cli.study._records import settings


def _models() -> list[str]:
    from sonic.study.models.compare import MODELS

    return list(MODELS)


def fit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Records of a study, .jsonl or .parquet.")],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="By default all; may be given again.", autocompletion=_models),
    ] = None,
    y: Annotated[
        str,
        typer.Option(
            metavar="throughput|row_rate", help="Against clients.", autocompletion=lambda: ["throughput", "row_rate"]
        ),
    ] = "throughput",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING", help="What tells series apart.", autocompletion=settings),
    ] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only points that have it.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curves (.png, .svg, .pdf).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
) -> None:
    """Fit capacity models: how many clients a server takes, which model says so best, and where it fails.

    \b
    Examples:
      sonic study fit facile.jsonl --plot fits.png
      sonic study fit facile.jsonl --where protocol=grpc --model mva --model usl --json
    """
    from json import dumps

    from rich.markup import escape

    from sonic.cli._console import open_console
    from sonic.cli.study._records import read
    from sonic.errors import ConfigError
    from sonic.study.models.compare import MODELS, as_json, compare
    from sonic.study.tables import fitted, parameters, shown, verdict

    if y not in ("throughput", "row_rate"):
        raise ConfigError(f"--y is throughput or row_rate, given {y!r}")
    if plot is not None:
        from sonic.study.plots.write import check_picture

        check_picture(plot)
    records = read(files, where or [])
    with open_console(stderr=True).status("fitting"):
        compared = compare(records, y, by, model or MODELS)
    if plot is not None:
        from sonic.study.plots.write import save_fits

        save_fits(compared, plot, y)
    if json:
        typer.echo(dumps([as_json(each) for each in compared], indent=1))
        return
    console = open_console(highlight=False)
    for number, each in enumerate(compared):
        if number:
            console.print()
        console.print(f"[bold]{escape(each.series.label)}[/bold]")
        if each.fits:
            console.print(shown(fitted(each.fits)))
            console.print()
            console.print(shown(parameters(each.fits)))
            console.print()
        for line in (*verdict(each.fits, each.measured, each.x), *each.refused):
            console.print(escape(line))
    if plot is not None:
        typer.echo(plot)
