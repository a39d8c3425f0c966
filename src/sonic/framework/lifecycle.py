"""Tells modules where a job, and each file of it, begins and ends.

Chunks of several files are in flight at once: a file has begun before the first of its chunks is handed on, and ends
when the last of them is written. Files begin in the order of the input, and end in that order too.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from sonic.errors import ModuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from sonic.framework.event import Chunk, FileRange
    from sonic.framework.module import JobInfo, Module


class _Visit:
    """A file whose chunks are being read or worked on."""

    __slots__ = ("file", "read_on", "under_way")

    def __init__(self, file: FileRange) -> None:
        self.file = file
        self.read_on = True  # whether more of its chunks may come
        self.under_way = 0


class Lifecycle:
    """Calls the modules' hooks. Between `with` and its end the job lasts; modules whose job began see its end.

    Parameters
    ----------
    modules : sequence of Module
        Called in this order.
    job : JobInfo
    file_of : callable
        What is known of a file, by the number of its visit.
    """

    def __init__(self, modules: Sequence[Module], job: JobInfo, file_of: Callable[[int], FileRange]) -> None:
        self._modules = tuple(modules)
        self._job = job
        self._file_of = file_of
        self._begun: list[Module] = []
        self._lock = threading.Lock()  # the source and the sink are on different threads
        self._open: deque[_Visit] = deque()

    def reading(self, chunks: Iterable[Chunk | None]) -> Iterator[Chunk | None]:
        """Pass chunks on, and begin each file before its first one. None, for nothing yet, passes as it is.

        Raises
        ------
        ModuleError
            If a module fails at the begin or the end of a file.
        """
        for chunk in chunks:
            if chunk is None:
                yield None
                continue
            with self._lock:
                if not self._open or self._open[-1].file.index != chunk.where.visit:
                    self._read_through()
                    visit = _Visit(self._file_of(chunk.where.visit))
                    self._open.append(visit)
                    for module in self._modules:
                        self._call(module, module.begin_file, visit.file, f"the begin of {visit.file}")
                self._open[-1].under_way += 1
            yield chunk
        with self._lock:
            self._read_through()

    def writing(self, write: Callable[[Chunk], None]) -> Callable[[Chunk], None]:
        """Wrap what takes finished chunks: files end behind their last one.

        Raises
        ------
        ModuleError
            If a module fails at the end of a file.
        """

        def written(chunk: Chunk) -> None:
            write(chunk)
            with self._lock:
                next(visit for visit in self._open if visit.file.index == chunk.where.visit).under_way -= 1
                self._end_files()

        return written

    def _read_through(self) -> None:
        if self._open:
            self._open[-1].read_on = False
        self._end_files()

    def _end_files(self) -> None:
        while self._open and not self._open[0].read_on and not self._open[0].under_way:
            file = self._open.popleft().file
            for module in self._modules:
                self._call(module, module.end_file, file, f"the end of {file}")

    @staticmethod
    def _call(module: Module, hook: Callable[[Any], None], argument: object, where: str) -> None:
        try:
            hook(argument)
        except (Exception, SystemExit) as error:
            raise ModuleError(module.name, where, error) from error

    def __enter__(self) -> Self:
        try:
            for module in self._modules:
                self._begun.append(module)
                self._call(module, module.begin_job, self._job, "the begin of the job")
        except BaseException as error:  # Ctrl-C too
            self._end_job(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = self._end_job(error)
        if error is None and failed is not None:
            raise failed

    def _end_job(self, error: BaseException | None) -> ModuleError | None:
        """End every module's job, and return the first error; one of the job itself comes before it."""
        first: ModuleError | None = None
        interrupt: BaseException | None = None
        for module in self._begun:
            try:
                module.end_job()
            except (Exception, SystemExit) as cause:  # noqa: BLE001 - raised when the others have ended
                failed = ModuleError(module.name, "the end of the job", cause)
                failed.__cause__ = cause
                first = first or failed
                if error is not None:
                    error.add_note(str(failed))
            except BaseException as cause:  # noqa: BLE001 - Ctrl-C, likewise
                interrupt = interrupt or cause
        self._begun.clear()
        if interrupt is not None:
            raise interrupt
        return first
