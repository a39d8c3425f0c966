"""``sonic study plot``: pictures and a report of what was measured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer

from sonic.cli.study._records import quantities, settings


def _published() -> list[str]:
    from sonic.study.published import PUBLISHED

    return list(PUBLISHED)


def plot(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Records of a study, .jsonl or .parquet.")],
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="For the pictures; made if it is not there.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="One page with all that there is.")] = None,
    x: Annotated[
        str | None, typer.Option(help="Draw one picture: a setting, e.g. clients.", autocompletion=settings)
    ] = None,
    y: Annotated[
        str, typer.Option(help="With --x: what is drawn against it.", autocompletion=quantities)
    ] = "throughput",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING", help="With --x: what tells series apart.", autocompletion=settings),
    ] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only points that have it.")] = None,
    published: Annotated[
        str | None, typer.Option(metavar="NAME", help="Draw a paper's points beside.", autocompletion=_published)
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format", metavar="png|svg|pdf", help="Of the pictures.", autocompletion=lambda: ["png", "svg", "pdf"]
        ),
    ] = "png",
    spec: Annotated[
        Path | None, typer.Option(metavar="SPEC.toml", help="The scan's specification, for the page.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page; by default what was measured.")] = None,
) -> None:
    """Draw what was measured: all that the records hold, or one quantity against one setting.

    \b
    Examples:
      sonic study plot facile.jsonl --to pictures --html facile.html
      sonic study plot facile.jsonl --to pictures --x clients --y p99_ms --by protocol
      sonic study plot jobs.jsonl --to pictures --x clients --y rate_per_client --published miniaod-ak4
    """
    from rich.markup import escape

    from sonic.cli._console import open_console
    from sonic.cli.study._records import read
    from sonic.errors import ConfigError, DataError
    from sonic.files import check_writable
    from sonic.study.plots.album import album, picture
    from sonic.study.plots.write import FORMATS, save, save_report
    from sonic.study.published import study

    if to is None and html is None:
        raise ConfigError("say where to: --to DIR for pictures, --html FILE for a page")
    if kind not in FORMATS:
        raise ConfigError(f"--format is one of {', '.join(FORMATS)}, given {kind!r}")
    if x is None and (by or y != "throughput"):
        raise ConfigError("--y and --by are of one picture: say --x too")
    if html is None and (spec or title):
        raise ConfigError("--spec and --title are of the page: give --html too")
    check_writable(html)
    console = open_console(stderr=True)
    records = read(files, where or [])
    beside = study(published) if published else None
    notes: list[str] = []
    with console.status("drawing"):
        if x is not None:
            pictures = [picture(records, x, y, by, beside)]
        else:
            pictures, notes = album(records, beside)
    if not pictures and html is None:
        raise DataError(f"nothing is drawn: {'; '.join(notes)}")
    for note in notes:
        console.print(f"not drawn: {escape(note)}", highlight=False)
    if to is not None:
        for path in save(pictures, to, kind):
            typer.echo(path)
    if html is not None:
        with console.status("writing"):
            save_report(records, pictures, html, title=title, notes=notes, spec=spec)
        typer.echo(html)
