"""``sonic models build`` and ``sonic models train``: the networks that Sonic knows."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonic.cli.models._place import networks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.workloads.training.loop import Progress

_NAME = typer.Argument(help="Network, as `sonic models list` names it.", autocompletion=networks)


def show_networks(*, as_json: bool) -> None:
    """List the networks, and how good the trained ones are."""
    from rich.console import Console
    from rich.table import Table

    from sonic.workloads.zoo import NETWORKS

    if as_json:
        rows = [
            asdict(network)
            | {"parameters": network.parameters, "shipped": network.shipped, "metrics": network.metrics()}
            for network in NETWORKS
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("network", "physics", "parameters", "trained", box=None, pad_edge=False)
    for network in NETWORKS:
        figures = network.metrics()
        if "auc" in figures:
            trained = f"AUC b vs light {figures['auc']['b_vs_light']:.3f}"
        elif "met" in figures:
            ours, plain = figures["met"]["deepmet"]["width_gev"], figures["met"]["plain_sum"]["width_gev"]
            trained = f"resolution {ours:.1f} GeV (plain sum {plain:.1f})"
        else:
            trained = "yes" if network.shipped else "no"
        table.add_row(network.name, network.physics, f"{network.parameters:,}", trained)
    Console().print(table)


def build(
    name: Annotated[str, _NAME],
    folder: Annotated[Path, typer.Argument(help="Model repository to put it into.")],
    weights: Annotated[str, typer.Option(help="trained or random")] = "trained",
    width: Annotated[float, typer.Option(help="Scale of the channels, for random weights.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of random weights.")] = 0,
    format_: Annotated[str, typer.Option("--format", help="onnx or torchscript, for random weights.")] = "onnx",
) -> None:
    """Put a network into a model repository, ready to be served."""
    from sonic.workloads import zoo

    typer.echo(zoo.build(name, folder, weights=weights, width=width, seed=seed, format=format_))


def train(
    name: Annotated[str, _NAME],
    to: Annotated[Path, typer.Option(help="Model repository to put it into.")] = Path("models"),
    events: Annotated[int | None, typer.Option(help="Events to generate for training.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of events and weights.")] = None,
    width: Annotated[float | None, typer.Option(help="Scale of the channels; 1 is the published size.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    cores: Annotated[int, typer.Option(help="Cores to use; all by default.")] = 0,
) -> None:
    """Train a network on generated events. Interrupted and called again, it goes on where it was."""
    from dataclasses import replace

    from sonic.workloads import zoo

    given = {"events": events, "epochs": epochs, "seed": seed, "width": width}
    recipe = replace(zoo.defaults(name), device=device, cores=cores)
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    recipe = replace(recipe, **changes)
    with _bars() as progress:
        target = zoo.train(name, to, recipe, progress)
    typer.echo(target)


@contextmanager
def _bars() -> Iterator[Progress]:
    """Show a bar for each stage that reports."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress
