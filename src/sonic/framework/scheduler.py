"""Runs chunks through a graph: streams, threads, and requests that no thread waits for.

A stream holds one chunk at a time. Threads take whatever is ready, of the chunk that is nearest to its end; a new
chunk is begun only when nothing else is ready and a stream is free, and one chunk is read ahead. Finished chunks are
written in the order of the input, if that is asked for; those that are ahead wait in a window of fixed size. So memory
depends on streams, window and chunk size alone.

One lock guards all state. Modules, the source and the sink are called without it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sonic.errors import ModuleError, one_line
from sonic.framework.offload import tensor_bytes
from sonic.framework.policy import OnError
from sonic.framework.report import Failure, Phase
from sonic.framework.requests import Call, Requests
from sonic.framework.steps import OffloadStep
from sonic.framework.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sonic.framework.event import Chunk
    from sonic.framework.graph import Graph, ReadySet
    from sonic.framework.ledger import Ledger
    from sonic.framework.offload import Callee, Mode
    from sonic.framework.steps import Step


_END: Any = object()


class Flight:
    """One chunk on its stream."""

    __slots__ = ("chunk", "index", "pending", "ready", "retries", "stream")

    def __init__(self, chunk: Chunk, index: int, stream: int, ready: ReadySet) -> None:
        self.chunk = chunk
        self.index = index
        self.stream = stream
        self.ready = ready
        self.pending = 0  # modules made ready and not done
        self.retries: dict[int, int] = {}


class Scheduler:
    """Threads that run chunks through a graph, once.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
        Its modules.
    callees : mapping of str to Callee
        What each offload calls, by the module's name.
    ledger : Ledger
    threads, streams : int
        Threads that execute modules, and chunks that are in flight at most.
    window : int or None
        Finished chunks that may wait for an earlier one to be written; as many as streams if None.
    ordered : bool
        Whether chunks are written in the order in which they were read, or as they are done.
    modes : mapping of str to Mode
        How each offload waits, by the module's name.
    on_error : OnError
    clock, cpu_clock : callable
        Nanoseconds since the job began, and nanoseconds of CPU of the calling thread.
    """

    def __init__(
        self,
        graph: Graph,
        steps: Sequence[Step],
        callees: Mapping[str, Callee],
        ledger: Ledger,
        *,
        threads: int,
        streams: int,
        window: int | None = None,
        ordered: bool = True,
        modes: Mapping[str, Mode],
        on_error: OnError | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._graph = graph
        self._steps = tuple(steps)
        self._offloads = {i: step for i, step in enumerate(self._steps) if isinstance(step, OffloadStep)}
        self._ledger = ledger
        self._source, self._sink = len(self._steps), len(self._steps) + 1  # their accounts in the ledger
        self._ahead = streams + (streams if window is None else window)
        self._on_error = on_error or OnError()
        self._ordered = ordered
        self._clock = clock
        self._cpu_clock = cpu_clock

        self._free = list(range(streams))[::-1]
        self._reading = self._fresh = self._exhausted = self._writing = self._waiting = False
        self._told = 0  # how often there was said to be more
        self._begun = self._written = 0  # chunks read, chunks written
        self._finished: dict[int, Flight] = {}
        self._workers = Workers(threads, ledger, clock, self._give_up)
        self._requests = Requests(
            {i: callees[step.name] for i, step in self._offloads.items()},
            {i: modes[step.name] for i, step in self._offloads.items()},
            {i: step.name for i, step in self._offloads.items()},
            ledger,
            self._workers.lock,
            clock,
        )

    def run(self, chunks: Iterable[Chunk | None], write: Callable[[Chunk], None]) -> None:
        """Run all chunks, and return when the last one is written.

        Parameters
        ----------
        chunks : iterable of Chunk or None
            Taken one after another, by one thread at a time. None: there may be more later, which :meth:`more` tells.
        write : callable
            Called with each chunk in turn, by one thread at a time.

        Raises
        ------
        ModuleError
            When a module fails and the job is to stop then. All other work is given up, and every thread has ended.
        SonicError
            Whatever `chunks` and `write` raise.
        """
        self._chunks: Iterator[Chunk | None] = iter(chunks)
        self._write = write
        with self._workers.lock:
            self._read_on()
        try:
            self._workers.run(self._requests.start)
        finally:
            self._requests.join()

    def more(self) -> None:
        """Note that `chunks` has something again, after it gave None. From any thread."""
        with self._workers.lock:
            self._told += 1
            self._waiting = False
            self._read_on()
            self._workers.wake()

    def _give_up(self) -> None:
        self._requests.give_up()

    # Chunks: read, finish, write

    def _read_on(self) -> None:
        """Read another chunk if there is room and none waits to be begun (lock held)."""
        if self._exhausted or self._reading or self._fresh or self._waiting:
            return
        if not self._free or self._begun - self._written >= self._ahead:
            return
        self._reading = True
        self._workers.push(len(self._steps) + 1, self._begun, partial(self._read, self._free.pop()))

    def _read(self, stream: int, worker: int) -> Callable[[], None]:
        told = self._told
        start_ns, cpu_ns = self._clock(), self._cpu_clock()
        chunk = next(self._chunks, _END)
        stop_ns, cpu_ns = self._clock(), self._cpu_clock() - cpu_ns

        def settle() -> None:
            self._reading = False
            if chunk is None or chunk is _END:
                self._free.append(stream)
                self._exhausted = chunk is _END
                self._waiting = chunk is None and told == self._told
                self._end_if_over()
                self._read_on()
                return
            flight = Flight(chunk, self._begun, stream, self._graph.start())
            self._begun += 1
            self._ledger.worked(self._source, Phase.RUN, chunk.where.index, stream, worker, start_ns, stop_ns, cpu_ns)
            account = self._ledger.accounts[self._source]
            account.calls += 1
            account.events += len(chunk)
            if self._steps:
                self._fresh = True
                self._workers.push_opening(len(self._steps) + 2, flight.index, partial(self._begin, flight))
            else:
                self._finish(flight)

        return settle

    def _begin(self, flight: Flight) -> None:
        """Make the first modules of a chunk ready, and read the next one meanwhile (lock held)."""
        self._fresh = False
        for i in flight.ready.roots():
            self._start(flight, i)
        self._read_on()

    def _finish(self, flight: Flight) -> None:
        """Free the stream of a chunk whose modules are all done (lock held)."""
        self._free.append(flight.stream)
        self._finished[flight.index] = flight
        self._write_on()
        self._read_on()

    def _write_on(self) -> None:
        """Write the next chunk, if it is there and nobody writes (lock held)."""
        if self._writing or not self._finished:
            return
        following = self._written if self._ordered else next(iter(self._finished))
        if following in self._finished:
            self._writing = True
            flight = self._finished.pop(following)
            self._workers.push(-1, flight.index, partial(self._put, flight))

    def _put(self, flight: Flight, worker: int) -> Callable[[], None]:
        start_ns, cpu_ns = self._clock(), self._cpu_clock()
        self._write(flight.chunk)
        stop_ns, cpu_ns = self._clock(), self._cpu_clock() - cpu_ns

        def settle() -> None:
            chunk = flight.chunk
            self._ledger.worked(self._sink, Phase.RUN, chunk.where.index, -1, worker, start_ns, stop_ns, cpu_ns)
            account = self._ledger.accounts[self._sink]
            account.calls += 1
            account.events += len(chunk)
            self._writing = False
            self._written += 1
            self._write_on()
            self._read_on()
            self._end_if_over()

        return settle

    def _end_if_over(self) -> None:
        if self._exhausted and self._written == self._begun:
            self._workers.end()

    # Modules

    def _start(self, flight: Flight, i: int) -> None:
        """Make a module ready (lock held)."""
        flight.pending += 1
        self._make_ready(flight, i)

    def _make_ready(self, flight: Flight, i: int) -> None:
        action = self._acquire if i in self._offloads else self._run
        self._workers.push(flight.ready.remaining, flight.index, partial(action, flight, i))

    def _done(self, flight: Flight, i: int) -> None:
        """Note that a module is done with a chunk, and make ready what waited for it (lock held)."""
        flight.pending -= 1
        if flight.chunk.failure is not None:  # another module failed on it meanwhile
            self._finish_failed(flight)
            return
        step, account = self._steps[i], self._ledger.accounts[i]
        account.calls += 1
        account.events += step.events(flight.chunk)
        if step.is_filter:
            account.passed += flight.chunk.selection.size(step.level + 1)
        for j in flight.ready.done(i):
            self._start(flight, j)
        if not flight.ready.remaining:
            self._finish(flight)

    def _failed(self, flight: Flight, i: int, error: BaseException) -> None:
        """Try a module once more, leave its chunk out, or stop the job (lock held)."""
        where = flight.chunk.where
        if flight.chunk.failure is None:
            retries = flight.retries.get(i, 0)
            if retries < self._on_error.retries:
                flight.retries[i] = retries + 1
                self._ledger.accounts[i].retries += 1
                self._make_ready(flight, i)
                return
            if not self._on_error.skip:
                raise ModuleError(self._steps[i].name, str(where), error) from error
            name = self._steps[i].name
            flight.chunk.fail(Failure(name, one_line(error), where.index, where.file, where.start, where.stop))
        flight.pending -= 1
        self._finish_failed(flight)

    def _finish_failed(self, flight: Flight) -> None:
        """Give up a chunk as soon as none of its modules is at work any more (lock held)."""
        if not flight.pending:
            self._finish(flight)

    def _run(self, flight: Flight, i: int, worker: int) -> Callable[[], None]:
        if flight.chunk.failure is not None:
            return partial(self._done, flight, i)
        book = partial(self._booked, flight, i, Phase.RUN, worker, (self._clock(), self._cpu_clock()))
        try:
            self._steps[i].run(flight.chunk)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - judged under the lock
            return book(partial(self._failed, flight, i, error))
        return book(partial(self._done, flight, i))

    def _booked(
        self, flight: Flight, i: int, phase: Phase, worker: int, began: tuple[int, int], then: Callable[[], None]
    ) -> Callable[[], None]:
        """Return what books what a module has done up to now, and goes on with it (lock held)."""
        start_ns, cpu_ns = began
        stop_ns, cpu_ns = self._clock(), self._cpu_clock() - cpu_ns

        def settle() -> None:
            chunk = flight.chunk.where.index
            self._ledger.worked(i, phase, chunk, flight.stream, worker, start_ns, stop_ns, cpu_ns)
            then()

        return settle

    # Offloads

    def _acquire(self, flight: Flight, i: int, worker: int) -> Callable[[], None]:
        if flight.chunk.failure is not None:
            return partial(self._done, flight, i)
        step = self._offloads[i]
        book = partial(self._booked, flight, i, Phase.ACQUIRE, worker, (self._clock(), self._cpu_clock()))
        try:
            events = step.view(flight.chunk)
            inputs = step.acquire(events)
            call = Call(i, flight.chunk.where, flight.stream, events, partial(self._resume, flight))
            if inputs:
                self._requests.send(call, inputs)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - judged under the lock
            return book(partial(self._failed, flight, i, error))
        settle = book(_nothing if inputs else partial(self._resume, flight, call))
        self._requests.hold(call)
        return settle

    def _resume(self, flight: Flight, call: Call) -> None:
        """Make the second half of an offload ready (lock held)."""
        self._workers.push(flight.ready.remaining, flight.index, partial(self._produce, flight, call))
        self._workers.wake()

    def _produce(self, flight: Flight, call: Call, worker: int) -> Callable[[], None]:
        i = call.i
        if flight.chunk.failure is not None:
            return partial(self._done, flight, i)
        book = partial(self._booked, flight, i, Phase.PRODUCE, worker, (self._clock(), self._cpu_clock()))
        try:
            outputs = call.outputs()
            size_bytes = tensor_bytes(outputs)
            self._offloads[i].produce(flight.chunk, call.events, outputs)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - judged under the lock
            return book(partial(self._failed, flight, i, error))

        def done() -> None:
            self._ledger.accounts[i].bytes_received += size_bytes
            self._done(flight, i)

        return book(done)


def _nothing() -> None:
    """Follow what is booked, where an answer says how it goes on."""
