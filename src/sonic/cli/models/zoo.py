"""``sonic models build``, and the list of the networks that Sonic knows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer

from sonic.cli.models._place import networks

_NAME = typer.Argument(help="Network, as `sonic models list` names it.", autocompletion=networks)


def show_networks(*, as_json: bool) -> None:
    """List the networks, and how good the trained ones are."""
    from rich.table import Table

    from sonic.cli._console import open_console
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
        known = network.metrics()
        trained = known.get("figure", "yes") if network.shipped else "no"
        if network.shipped and known["width"] != 1:
            trained += f"; {known['width']:g} of the width"
        table.add_row(network.name, network.physics, f"{network.parameters:,}", trained)
    open_console().print(table)


def build(
    name: Annotated[str, _NAME],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Model repository to put it into.")],
    weights: Annotated[
        str,
        typer.Option(
            metavar="trained|random|table",
            help="table: random ones in a small file.",
            autocompletion=lambda: ["trained", "random", "table"],
        ),
    ] = "trained",
    width: Annotated[float, typer.Option(help="Scale of the channels, for random weights.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of random weights.")] = 0,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="onnx|torchscript",
            help="Of random weights.",
            autocompletion=lambda: ["onnx", "torchscript"],
        ),
    ] = "onnx",
) -> None:
    """Put a network into a model repository, ready to be served."""
    from sonic.workloads import zoo

    typer.echo(zoo.build(name, folder, weights=weights, width=width, seed=seed, format=format_))
