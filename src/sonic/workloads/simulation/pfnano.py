"""Simulated events as a ROOT file that a workflow for PFNano can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak

from sonic.workloads.eventfile import write
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from sonic.workloads.progress import Progress


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    process: str = "tt",
) -> int:
    """Proton collisions by Pythia, seen by a simple detector, in the layout of a PFNano file.

    Parameters
    ----------
    file : path
        ROOT file to write.
    events : int
    seed : int
        The same seed gives the same events.
    progress : callable of (stage, done, total), optional
    process : str
        The hard process, of :data:`sonic.workloads.simulation.processes.PROCESSES`.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    ConfigError
        If there is no such process, or pythia8mc or fastjet is not installed.
    OutputError
        If the file cannot be written.
    """
    chosen = find(process)

    def reported() -> Iterator[ak.Array]:
        done = 0
        for block in blocks(chosen, events, seed):
            done += len(block)
            if progress is not None:
                progress("events", done, events)
            yield block

    return write_pfnano(file, reported())


def write_pfnano(path: str | os.PathLike[str], blocks: Iterable[ak.Array]) -> int:
    """Write events to a ROOT file with a tree ``Events``, and return how many.

    Parameters
    ----------
    path : path
        Written whole or not at all: the file appears under its name at the end.
    blocks : iterable of awkward record arrays
        As :func:`sonic.workloads.simulation.sample.simulate` makes them.

    Raises
    ------
    OutputError
        If it cannot be written, or there are no events.
    """
    return write(path, map(_collections, blocks))


def _collections(block: ak.Array) -> dict[str, ak.Array]:
    """Gather jagged branches by collection, so that each has one counter (``nJet``)."""
    gathered: dict[str, dict[str, ak.Array]] = {}
    columns: dict[str, ak.Array] = {}
    for branch in block.fields:
        column = block[branch]
        if column.ndim > 1:
            collection, _, field = branch.partition("_")
            gathered.setdefault(collection, {})[field] = column
        else:
            columns[branch] = column
    return columns | {name: ak.zip(fields) for name, fields in gathered.items()}
