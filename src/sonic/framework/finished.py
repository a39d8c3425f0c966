"""What is left of a chunk when its modules are done: columns for each output, and the analyzers' results.

It can be pickled, so that it may come from another process or be kept in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonic.framework.module import Analyzer
from sonic.framework.packing import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from awkward.contents import Content

    from sonic.framework.event import Chunk, EventRange
    from sonic.framework.graph import Graph
    from sonic.framework.module import Module
    from sonic.framework.report import Failure


@dataclass(frozen=True, slots=True)
class Kept:
    """What goes to one output.

    Parameters
    ----------
    columns : tuple of str
    widen : bool
        Whether every event is written, with a bool for each filter, or only events that pass all filters.
    """

    columns: tuple[str, ...]
    widen: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A chunk for the outputs.

    Parameters
    ----------
    where : EventRange
    failure : Failure or None
        Why it is left out of the outputs; then there is nothing else.
    results : mapping of str to object
        What the analyzers returned, by their name.
    columns : sequence of mapping
        For each output, its columns by name.
    events : sequence of int
        For each output, how many events they have.
    """

    where: EventRange
    failure: Failure | None
    results: Mapping[str, Any]
    columns: Sequence[Mapping[str, Content]]
    events: Sequence[int]

    def __reduce__(self) -> tuple[Any, ...]:
        columns = [{name: packed(content) for name, content in output.items()} for output in self.columns]
        return _unpickled, (self.where, self.failure, self.results, columns, self.events)


def _unpickled(
    where: EventRange,
    failure: Failure | None,
    results: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    events: Sequence[int],
) -> Finished:
    outputs = [{name: unpacked(value) for name, value in output.items()} for output in columns]
    return Finished(where, failure, results, outputs, events)


class Harvest:
    """Takes from chunks what the outputs need, and lets go of the rest.

    Parameters
    ----------
    modules : sequence of Module
        Of the workflow.
    graph : Graph
    kept : sequence of Kept
        For each output.
    """

    def __init__(self, modules: Sequence[Module], graph: Graph, kept: Sequence[Kept]) -> None:
        self._analyzers = tuple(module.name for module in modules if isinstance(module, Analyzer))
        self._filters = graph.filters
        self._kept = tuple(kept)

    def __call__(self, chunk: Chunk) -> Finished:
        """Take what is needed of a chunk whose modules are done."""
        if chunk.failure is not None:
            return Finished(chunk.where, chunk.failure, {}, (), ())
        passed = chunk.selection.size(chunk.selection.level)
        columns = [chunk.output(kept.columns, self._filters, widen=kept.widen) for kept in self._kept]
        events = [len(chunk) if kept.widen else passed for kept in self._kept]
        chunk.release()
        return Finished(chunk.where, None, {name: chunk.results[name] for name in self._analyzers}, columns, events)
