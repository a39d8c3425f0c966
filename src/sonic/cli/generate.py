"""``sonic generate``: simulated events as a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer

from sonic.cli._bars import bars


def _known(incomplete: str) -> list[str]:
    """Complete the name of a generator."""
    from sonic.workloads.generators import known

    return [name for name in known() if name.startswith(incomplete)]


def generate(
    name: Annotated[
        str | None,
        typer.Argument(help="Of the workflow that reads them; none: list those there are.", autocompletion=_known),
    ] = None,
    file: Annotated[Path | None, typer.Argument(help="ROOT file to write.", show_default=False)] = None,
    events: Annotated[int, typer.Option(help="How many events.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events; training uses 1.", min=0)] = 1000,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", "-w", metavar="KEY=VALUE", help="An option of these events; may be repeated."),
    ] = None,
) -> None:
    """Simulate events, with their truth, as a file that a workflow reads.

    Without a name it lists what can be simulated, and with which options. For
    example:

      sonic generate tracking events.root --events 20 --with particles=200
    """
    from sonic.cli._signals import terminable
    from sonic.framework.options import settings
    from sonic.workloads import generators

    if name is None:
        _show()
        return
    generator = generators.find(name)
    if file is None:
        raise typer.BadParameter("which file to write is missing", param_hint="FILE")
    chosen = settings(generator, with_ or [])
    with terminable(), bars() as progress:
        written = generator(file, events, seed, progress, **chosen)
    typer.echo(f"{file}: {written} events")


def _show() -> None:
    from rich.markup import escape
    from rich.table import Table

    from sonic.cli._console import open_console
    from sonic.framework.options import options
    from sonic.workloads import generators

    table = Table("events", "what they are", "options", box=None, pad_edge=False)
    for name in generators.known():
        generator = generators.find(name)
        settable = (escape(f"{option.name}={option.default}") for option in options(generator))
        table.add_row(name, generators.about(generator), "\n".join(settable))
    open_console().print(table)
