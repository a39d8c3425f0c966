"""Simulated events as a ROOT file: a tree ``Events``, written block by block, and whole or not at all."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import awkward as ak
import numpy as np
import uproot

from sonic.errors import OutputError
from sonic.files import replacing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sonic.workloads.progress import Progress

T = TypeVar("T")

BLOCK_EVENTS = 100
"""Of simulated events that are written together."""


def write(file: str | os.PathLike[str], blocks: Iterable[Mapping[str, Any]]) -> int:
    """Write events.

    Parameters
    ----------
    file : path
        It appears under its name at the end.
    blocks : iterable of mapping of str to array
        Branches, and collections of branches, each with an element an event; all blocks with the same ones. A block may
        have no events.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    OutputError
        If it cannot be written, or there are no blocks.
    """
    target = Path(file)
    events, begun = 0, False
    with replacing(target) as part:
        target.parent.mkdir(parents=True, exist_ok=True)
        with uproot.recreate(part) as written:
            for columns in blocks:
                if not begun:
                    # Else uproot writes an RNTuple.
                    written.mktree("Events", {name: _type(column) for name, column in columns.items()})
                    begun = True
                written["Events"].extend(dict(columns))
                events += len(next(iter(columns.values())))
        if not begun:
            raise OutputError(f"{target}: no events to write")
    return events


def in_blocks(
    events: Iterable[T], columns: Callable[[list[T]], dict[str, ak.Array]], size: int = BLOCK_EVENTS
) -> Iterator[dict[str, ak.Array]]:
    """Yield the columns of events, so many at a time; those of none if there are none."""
    rest = iter(events)
    yield columns(list(islice(rest, size)))
    while block := list(islice(rest, size)):
        yield columns(block)


def one_by_one(
    simulate: Callable[[np.random.Generator], T], events: int, seed: int, progress: Progress | None
) -> Iterator[T]:
    """Yield simulated events, each of random numbers of its own: of more events the first are the same."""
    for number in range(events):
        yield simulate(np.random.default_rng((seed, number)))
        if progress is not None:
            progress("events", number + 1, events)


def listed(arrays: Sequence[np.ndarray], dtype: type) -> ak.Array:
    """Return a jagged array of an array each event, of one type."""
    flat: np.ndarray = np.concatenate([np.empty(0), *arrays])
    return ak.unflatten(flat.astype(dtype), np.array([len(each) for each in arrays], np.int64))


def _type(column: Any) -> Any:
    return column.type.content if isinstance(column, ak.Array) else column.dtype
