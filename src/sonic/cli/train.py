"""``sonic train``: a network, on generated events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonic.cli._bars import bars


def _trainable(incomplete: str) -> list[str]:
    """Complete the name of a network that there is a training for."""
    from sonic.workloads.zoo import trainable

    return [network.name for network in trainable() if network.name.startswith(incomplete)]


def train(
    name: Annotated[
        str | None, typer.Argument(help="Network; none: list those there are.", autocompletion=_trainable)
    ] = None,
    to: Annotated[Path, typer.Option(help="Model repository to put it into.")] = Path("models"),
    events: Annotated[int | None, typer.Option(help="Events to generate for training.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of events and weights.")] = None,
    width: Annotated[float | None, typer.Option(help="Scale of the channels; 1 is the published size.")] = None,
    device: Annotated[
        str,
        typer.Option(metavar="auto|cpu|cuda", help="Where to train.", autocompletion=lambda: ["auto", "cpu", "cuda"]),
    ] = "auto",
    cores: Annotated[int | None, typer.Option(help="Cores to use; 0 for all.")] = None,
) -> None:
    """Train a network on generated events. Interrupted and called again, it goes on where it was.

    Without a name it lists what can be trained, and about how long that takes.
    """
    from dataclasses import replace

    from sonic.cli._signals import terminable
    from sonic.workloads import zoo

    if name is None:
        _show()
        return
    given = {"events": events, "epochs": epochs, "seed": seed, "width": width, "cores": cores}
    recipe = replace(zoo.defaults(name), device=device)
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    recipe = replace(recipe, **changes)
    with terminable(), bars() as progress:
        target = zoo.train(name, to, recipe, progress)
    typer.echo(target)


def _show() -> None:
    from rich.table import Table

    from sonic.cli._console import open_console
    from sonic.workloads.networks.catalogue import took
    from sonic.workloads.zoo import trainable

    table = Table("network", "what it finds", "took", "reached", box=None, pad_edge=False)
    for network in trainable():
        known = network.metrics()
        table.add_row(network.name, network.physics, took(known) or "not measured", known.get("figure", ""))
    open_console().print(table)
