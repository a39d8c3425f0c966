"""What becomes of finished chunks: kept columns to the sinks, analyzers' results to their sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from sonic.errors import ModuleError, SonicError
from sonic.framework.module import Analyzer, add

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from sonic.framework.finished import Finished
    from sonic.framework.module import Module
    from sonic.framework.report import Failure
    from sonic.framework.sinks.base import Sink


class Progress(Protocol):
    """Told how far a job is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Note that `done` of `total` events are finished and written. Called from one thread of the job at a time."""


class Output:
    """Takes finished chunks. Unless committed, the files are discarded at the end of the `with` block.

    Parameters
    ----------
    modules : sequence of Module
        Of the workflow.
    sinks : sequence of Sink
    total : int
        Events to come.
    progress : Progress or None
    """

    def __init__(
        self,
        modules: Sequence[Module],
        sinks: Sequence[Sink],
        *,
        total: int,
        progress: Progress | None = None,
    ) -> None:
        self._analyzers = tuple(module for module in modules if isinstance(module, Analyzer))
        self._sinks = tuple(sinks)
        self._total = total
        self._progress = progress
        self._committed = False
        self.chunks = 0
        """Chunks taken."""
        self.read = 0
        """Events in them."""
        self.written = [0] * len(self._sinks)
        """Events that went to each sink."""
        self.totals: dict[str, Any] = {}
        """Sums of what the analyzers returned, by their name."""
        self.skipped: list[Failure] = []
        """Chunks that were left out."""
        self._first = True

    def take(self, chunk: Finished) -> None:
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
        self.read += len(chunk.where)
        if self._progress is not None:
            self._progress(self.read, self._total)

    def _add(self, chunk: Finished) -> None:
        first, self._first = self._first, False
        for analyzer in self._analyzers:
            name, result = analyzer.name, chunk.results[analyzer.name]
            try:
                self.totals[name] = result if first else add(self.totals[name], result)
            except (Exception, SystemExit) as error:
                raise ModuleError(name, f"the sum up to {chunk.where}", error) from error
        for i, (sink, columns, events) in enumerate(zip(self._sinks, chunk.columns, chunk.events, strict=True)):
            if first:
                sink.check(self.totals)
            sink.write(columns, events)
            self.written[i] += events

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

    def commit(self, metadata: Callable[[int], str]) -> None:
        """Finish the files; none gets its name before all are whole.

        Parameters
        ----------
        metadata : callable
            What a file says of itself, as JSON, by how many events it has.

        Raises
        ------
        OutputError
            If it cannot be written. Nothing is left under its name then, but of several outputs those that got theirs
            before keep it: they are whole, and a file that was there is not to be had back.
        """
        for sink, written in zip(self._sinks, self.written, strict=True):
            sink.close(self.totals, metadata(written))
        for sink in self._sinks:
            sink.publish()
        self._committed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._committed:
            for sink in self._sinks:
                sink.discard()


def _plain(label: object, value: Any) -> float | int | str:
    """Return a number of numpy's as Python's own, which JSON takes."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(label, str) or not isinstance(plain, float | int | str):
        raise TypeError(f"figure {label!r} is a {type(value).__name__}, expected a number or a text, by its label")
    return plain
