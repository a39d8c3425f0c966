"""``sonic generate``: simulated events as a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer


def generate(
    file: Annotated[Path, typer.Argument(help="ROOT file to write.")],
    process: Annotated[str, typer.Option(help="Hard process, e.g. tt, qcd_170, znunu_100.")] = "tt",
    events: Annotated[int, typer.Option(help="How many events.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events; training uses 1.", min=0)] = 1000,
) -> None:
    """Generate events with Pythia and a simple detector, in the layout of a PFNano file."""
    from sonic.workloads.simulation.pfnano import write_pfnano
    from sonic.workloads.simulation.processes import find
    from sonic.workloads.simulation.sample import blocks

    written = write_pfnano(file, blocks(find(process), events, seed))
    typer.echo(f"{file}: {written} events")
