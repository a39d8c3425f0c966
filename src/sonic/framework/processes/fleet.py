"""The parent's side: starts the children, hands out chunks, writes what comes back, and ends them."""

from __future__ import annotations

import pickle
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from sonic.errors import ConfigError, ProcessLost, one_line
from sonic.framework.finished import Finished
from sonic.framework.ledger import Ledger
from sonic.framework.processes import interrupts
from sonic.framework.processes.channel import CONTROL, Channel
from sonic.framework.processes.child import Began, Done, Ended, Failed, Orders, Ready, main
from sonic.framework.processes.leases import Leases
from sonic.framework.report import Failure, Phase
from sonic.framework.share import Share, peak_rss_bytes
from sonic.framework.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from multiprocessing.context import SpawnProcess
    from types import TracebackType

    from sonic.framework.processes.channel import Packed
    from sonic.framework.share import Task
    from sonic.framework.source import TreeSource

_MAX_RECORDS = 20_000
_SIGNALS_S = 1.0
_END_S = 15.0
"""How long a child may take to end when the job is given up, before it is killed."""

_BARREN = 5
"""So many times the processes may die one after another without a chunk in between."""

_NAMED = 4
"""Ranges of events that a message names."""

_PROCESS = "(process)"
"""In the place of a module's name, where a process died on a chunk."""


@dataclass
class _Child:
    """A child as the parent sees it."""

    number: int
    process: SpawnProcess
    channel: Channel
    ready: bool = False
    share: Share | None = None


class Fleet:
    """Does a job in several processes. Its children live between `with` and its end.

    Parameters
    ----------
    task : Task
        Of the whole job; threads and streams are divided.
    source : TreeSource
        That knows what is to be read.
    processes : int
        At most as many as there are threads and streams.
    cores : int
        Cores that the job may use, in all.

    Raises
    ------
    ConfigError
        If the workflow was not loaded by name and cannot be pickled.
    """

    def __init__(self, task: Task, source: TreeSource, processes: int, cores: int) -> None:
        self._task = task
        self._source = source
        self._processes = processes
        self._orders = [self._order(number, cores) for number in range(processes)]
        self._context = get_context("spawn")  # a forked child would have the parent's threads' locks, and no threads
        self._children: list[_Child] = []
        self._said: SimpleQueue[tuple[_Child, Packed | None]] = SimpleQueue()
        self._ledger = Ledger([module.name for module in task.workflow.modules], 1, _MAX_RECORDS)
        self._barren = 0  # deaths since a chunk was finished
        self._cpu_began_ns = 0
        self.began_ns = 0
        """When the first child began, by :func:`time.perf_counter_ns`."""
        self.lost = 0
        """Processes that died."""

    def run(self, source: TreeSource, done: Collection[int], write: Callable[[Finished], None]) -> None:
        """Have all chunks that are not done read and run, and write what comes back.

        Raises
        ------
        SonicError
            Whatever a child or `write` raises.
        ProcessLost
            If a child dies, and that is to end the job.
        """
        self._cpu_began_ns = time.process_time_ns()
        self._write = write
        self._leases = Leases(
            source.spans(done),
            self._processes,
            at_once=source.chunks_at_once,
            streams=-(-self._task.streams // self._processes),
            ordered=self._task.ordered,
            on_error=self._task.on_error,
        )
        while not self._leases.over:
            self._hear()
        for child in self._children:
            self._tell(child, Ended())
        while any(child.share is None for child in self._children):
            self._hear()

    def shares(self) -> tuple[Share, ...]:
        """Say what each process did and took, this one last."""
        shares = [share for child in self._children if (share := child.share) is not None]
        threads = max(order.task.threads for order in self._orders)
        streams = max(order.task.streams for order in self._orders)
        placed = [_placed(share, i * threads, i * streams) for i, share in enumerate(shares)]
        own = Share(
            accounts=tuple(self._ledger.accounts),
            records=tuple(replace(record, worker=len(shares) * threads) for record in self._ledger.records),
            cut=self._ledger.cut,
            together_ns=0,
            cpu_s=(time.process_time_ns() - self._cpu_began_ns) / 1e9,
            peak_rss_bytes=peak_rss_bytes(),
            before={},
            after={},
            used=(),
            by_fallback={},
        )
        return (*placed, own)

    # Children

    def _order(self, number: int, cores: int) -> Orders:
        task, count = self._task, self._processes
        workflow = task.workflow
        pickled = b""
        if not workflow.as_found:
            try:
                pickled = pickle.dumps(workflow)
            except Exception as error:
                way = (
                    "unless it is as it was loaded"
                    if workflow.origin
                    else "in a file of its own it can be loaded there"
                )
                text = f"workflow {workflow.name} cannot be sent to other processes: {one_line(error)}; {way}"
                raise ConfigError(text) from error
        fallback = task.fallback
        if fallback is not None:
            fallback = replace(fallback, cores=max(1, _part(fallback.cores or cores, number, count)))
        own = replace(
            task,
            fallback=fallback,
            workflow=Workflow(workflow.name, ()),
            about=replace(task.about, process=number, processes=count),
            ordered=False,  # the parent puts them in order
            threads=_part(task.threads, number, count),
            streams=_part(task.streams, number, count),
            cores=max(1, _part(cores, number, count)),
        )
        return Orders(workflow.origin, workflow.options, pickled, own, self._source, _MAX_RECORDS // count)

    def _start(self, number: int) -> None:
        here, there = socket.socketpair()
        with there:
            # No daemon: those may not have children of their own, and this one ends with us anyway.
            process = self._context.Process(
                target=main, args=(there, pickle.dumps(self._orders[number])), name=f"sonic-{number}"
            )
            interrupts.start(process)
        child = _Child(number, process, Channel(here))
        self._children.append(child)
        threading.Thread(target=self._listen, args=(child,), name=f"sonic-child-{number}", daemon=True).start()

    def _listen(self, child: _Child) -> None:
        """Take what a child says, until it is gone. What waits here is bounded by what was handed out."""
        try:
            while True:
                self._said.put((child, child.channel.receive()))
        except EOFError:
            self._said.put((child, None))

    # Messages

    def _hear(self) -> None:
        """Wait for the next message, and do what it asks for."""
        try:
            child, packed = self._said.get(timeout=_SIGNALS_S)  # a signal that comes just before would not wake us
        except Empty:
            return
        if packed is None:
            self._lose(child)
        elif packed.tag == CONTROL:
            self._answer(child, packed.open())
        else:
            self._barren = 0
            self._leases.put(id(child), packed.tag, packed)
            self._write_on()
        for other in self._children:
            if other.ready:
                self._hand_out(other)

    def _answer(self, child: _Child, message: object) -> None:
        if isinstance(message, Failed):
            raise message.error()
        if isinstance(message, Done):
            child.share = message.share
            child.ready = False
        elif isinstance(message, Ready):
            self.began_ns = self.began_ns or time.perf_counter_ns()
            child.ready = True
            self._tell(child, Began(self.began_ns))

    def _hand_out(self, child: _Child) -> None:
        while (span := self._leases.grant(id(child))) is not None:
            self._tell(child, span)

    def _tell(self, child: _Child, message: object) -> None:
        with suppress(OSError):  # it is gone, which its listener will say
            child.channel.send(message)

    def _write_on(self) -> None:
        while (packed := self._leases.take()) is not None:
            start_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
            finished = packed if isinstance(packed, Finished) else packed.open()
            self._write(finished)
            sink = len(self._ledger.names) - 1
            account = self._ledger.accounts[sink]
            account.calls += 1
            account.events += len(finished.where)
            times_ns = start_ns - self.began_ns, time.perf_counter_ns() - self.began_ns
            self._ledger.worked(sink, Phase.RUN, finished.where.index, -1, 0, *times_ns, time.thread_time_ns() - cpu_ns)

    # Ends

    def _lose(self, child: _Child) -> None:
        """Deal with a child that is gone."""
        if child.share is not None:
            return
        child.process.join()
        child.channel.close()
        how = _how(child.process.exitcode)
        name = f"process {child.number} of {self._processes}"
        if not child.ready:
            raise ProcessLost(f"{name} {how} before it was ready")
        loss = self._leases.lost(id(child))
        on_error = self._task.on_error
        if (loss.given_up or not on_error.retries) and not on_error.skip:
            had = [self._source.where(span) for span in loss.spans]
            had[_NAMED:] = [f"{len(had) - _NAMED} other ranges"] if len(had) > _NAMED else []
            raise ProcessLost(f"{name} {how} while it worked on {', '.join(had) or 'nothing'}")
        self.lost += 1
        self._barren += 1
        if self._barren >= _BARREN * self._processes:
            raise ProcessLost(f"{name} {how}, as did {self._barren - 1} before it, and none had finished a chunk")
        for where in (where for span in loss.given_up for where in self._source.ranges(span)):
            failure = Failure(_PROCESS, f"the process {how}", where.index, where.file, where.start, where.stop)
            self._leases.put(id(child), where.index, Finished(where, failure, {}, (), ()))
        self._write_on()
        self._children.remove(child)
        if not self._leases.over:
            self._start(child.number)

    def __enter__(self) -> Self:
        try:
            for number in range(self._processes):
                self._start(number)
        except BaseException:
            self._close(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(at_once=error is not None)

    def _close(self, *, at_once: bool) -> None:
        """Wait for the children, who have ended their modules' jobs; or have them do that now."""
        if at_once:
            for child in self._children:
                child.channel.shut()
        until_s = time.monotonic() + _END_S
        for child in self._children:
            child.process.join(max(0.0, until_s - time.monotonic()))
            if child.process.is_alive():
                child.process.kill()
                child.process.join()
            child.channel.shut()
            child.channel.close()
        self._children.clear()


def _part(total: int, number: int, count: int) -> int:
    """Divide evenly; the first get the rest."""
    return total // count + (number < total % count)


def _placed(share: Share, first_worker: int, first_stream: int) -> Share:
    """Give threads and streams their numbers among all. What the outputs got is the parent's to say."""
    sink = replace(share.accounts[-1], calls=0, events=0)
    records = tuple(
        replace(
            record,
            worker=record.worker if record.worker < 0 else first_worker + record.worker,
            stream=record.stream if record.stream < 0 else first_stream + record.stream,
        )
        for record in share.records
    )
    return replace(share, accounts=(*share.accounts[:-1], sink), records=records)


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with status {code}"
    if -code == signal.SIGKILL:
        return "was killed by SIGKILL (out of memory?)"
    return f"was killed by {signal.Signals(-code).name}"
