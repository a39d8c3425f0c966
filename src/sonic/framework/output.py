"""What becomes of finished chunks: kept columns to the sink, analyzers' results to their sums."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, Self

from sonic.errors import DataError, ModuleError, SonicError
from sonic.framework.graph import similar
from sonic.framework.module import Analyzer, add

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType

    from sonic.framework.event import Chunk
    from sonic.framework.graph import Graph
    from sonic.framework.module import Module
    from sonic.framework.report import Failure
    from sonic.framework.sinks.base import Sink


class Progress(Protocol):
    """Told how far a job is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Note that `done` of `total` events are finished and written. Called from one thread of the job at a time."""


def choose(patterns: Sequence[str], branches: Collection[str], graph: Graph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find what goes to the output.

    Parameters
    ----------
    patterns : sequence of str
        Names, or patterns with ``*``, ``?`` and ``[...]``.
    branches : collection of str
        Of the input.
    graph : Graph

    Returns
    -------
    tuple of str, tuple of str
        Input branches and products, each sorted.

    Raises
    ------
    DataError
        If a plain name is neither a branch nor a product.
    """
    names = {*branches, *graph.makers}
    found: set[str] = set()
    for pattern in patterns:
        if any(sign in pattern for sign in "*?["):
            found |= {name for name in names if fnmatchcase(name, pattern)}
        elif pattern in names:
            found.add(pattern)
        elif pattern not in graph.filters:
            raise DataError(
                f"cannot keep {pattern!r}: neither a branch of the input nor a product{similar(pattern, names)}"
            )
    return tuple(sorted(found & set(branches))), tuple(sorted(found & graph.makers.keys()))


class Output:
    """Takes finished chunks in their order. Unless committed, the file is discarded at the end of the `with` block.

    Parameters
    ----------
    modules : sequence of Module
        Of the workflow.
    graph : Graph
    sink : Sink or None
    columns : sequence of str
        What is kept.
    widen : bool
        Whether to write every event, with a bool for each filter, or only events that pass all filters.
    total : int
        Events to come.
    progress : Progress or None
    """

    def __init__(
        self,
        modules: Sequence[Module],
        graph: Graph,
        sink: Sink | None,
        columns: Sequence[str],
        *,
        widen: bool,
        total: int,
        progress: Progress | None = None,
    ) -> None:
        self._analyzers = tuple(module for module in modules if isinstance(module, Analyzer))
        self._filters = graph.filters
        self._sink = sink
        self._columns = tuple(columns)
        self._widen = widen
        self._total = total
        self._progress = progress
        self._committed = False
        self.chunks = 0
        """Chunks taken."""
        self.read = 0
        """Events in them."""
        self.written = 0
        """Events that went to the sink."""
        self.totals: dict[str, Any] = {}
        """Sums of what the analyzers returned, by their name."""
        self.skipped: list[Failure] = []
        """Chunks that were left out."""
        self._first = True

    def take(self, chunk: Chunk) -> None:
        """Take the next chunk. One that a module failed on is only counted.

        Raises
        ------
        ModuleError
            If an analyzer's results do not add up.
        OutputError
            If the columns cannot be written.
        """
        if chunk.failure is None:
            self._add(chunk)
        else:
            self.skipped.append(chunk.failure)
        self.chunks += 1
        self.read += len(chunk)
        if self._progress is not None:
            self._progress(self.read, self._total)

    def _add(self, chunk: Chunk) -> None:
        first, self._first = self._first, False
        for analyzer in self._analyzers:
            name, result = analyzer.name, chunk.results[analyzer.name]
            try:
                self.totals[name] = result if first else add(self.totals[name], result)
            except (Exception, SystemExit) as error:
                raise ModuleError(name, f"the sum up to {chunk.where}", error) from error
        if self._sink is not None:
            if first:
                self._sink.check(self.totals)
            events = len(chunk) if self._widen else chunk.selection.size(chunk.selection.level)
            self._sink.write(chunk.finish(self._columns, self._filters, widen=self._widen), events)
            self.written += events

    def check(self) -> None:
        """Check that there is something to write.

        Raises
        ------
        ModuleError
            If every chunk was left out: an output would have no columns.
        """
        if self.skipped and self._first:
            failure = self.skipped[0]
            raise ModuleError(failure.module, f"each of {self.chunks} chunks", SonicError(failure.error))

    def summaries(self) -> dict[str, Mapping[str, float | int | str]]:
        """Return the figures that the analyzers make of their sums, by module; those without any are left out.

        Raises
        ------
        ModuleError
            If an analyzer fails.
        """
        found: dict[str, Mapping[str, float | int | str]] = {}
        for analyzer in self._analyzers:
            try:
                figures = analyzer.summarize(self.totals[analyzer.name])
                plain = {label: _plain(label, value) for label, value in figures.items()}
            except (Exception, SystemExit) as error:
                raise ModuleError(analyzer.name, "the sum of all events", error) from error
            if plain:
                found[analyzer.name] = plain
        return found

    def commit(self, metadata: str) -> None:
        """Finish the file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if self._sink is not None:
            self._sink.commit(self.totals, metadata)
        self._committed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None and not self._committed:
            self._sink.discard()


def _plain(label: object, value: Any) -> float | int | str:
    """Return a number of numpy's as Python's own, which JSON takes."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(label, str) or not isinstance(plain, float | int | str):
        raise TypeError(f"figure {label!r} is a {type(value).__name__}, expected a number or a text, by its label")
    return plain
