"""One process's share of a job: what it is told to do, how it does it, and what that took."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sonic.framework.finished import Harvest
from sonic.framework.ledger import Ledger
from sonic.framework.lifecycle import Lifecycle
from sonic.framework.models import callees_of, connect, statistics, use_between
from sonic.framework.scheduler import Scheduler
from sonic.framework.steps import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import TracebackType

    from sonic.client.fallback import Fallback
    from sonic.client.model import Client
    from sonic.client.pool import ServerState
    from sonic.framework.event import Chunk, FileRange
    from sonic.framework.finished import Finished, Kept
    from sonic.framework.ledger import Account
    from sonic.framework.models import Caller
    from sonic.framework.module import JobInfo
    from sonic.framework.offload import Callee, Mode
    from sonic.framework.policy import OnError
    from sonic.framework.report import Record, ServerUse
    from sonic.framework.source import TreeSource
    from sonic.framework.workflow import Workflow
    from sonic.protocol.messages import ModelStatistics


@dataclass(frozen=True)
class Task:
    """What a process is to do. Can be pickled if its workflow can.

    Parameters
    ----------
    workflow : Workflow
    about : JobInfo
    kept : tuple of Kept
        What goes to each output.
    mode : {"service", "direct"}
    modes : mapping of str to Mode
        How each offload waits, by its name.
    servers : tuple of str
    fallback : Fallback or None
    timeout_s : float or None
    on_error : OnError
    ordered : bool
        Whether its chunks are handed on in the order in which they were read.
    threads, streams : int
    cores : int or None
        Cores that models in this process may use; None: all.
    """

    workflow: Workflow
    about: JobInfo
    kept: tuple[Kept, ...]
    mode: str
    modes: Mapping[str, Mode]
    servers: tuple[str, ...]
    fallback: Fallback | None
    timeout_s: float | None
    on_error: OnError
    ordered: bool
    threads: int
    streams: int
    cores: int | None = None


@dataclass(frozen=True)
class Share:
    """What one process did and took.

    `accounts` are in the order of the modules, with source and sink behind them. `before` and `after` are what the
    models' servers counted. `used` is what the servers did for a client of its own, if it had one, and `by_fallback`
    how many requests that one's fallback answered, by model.
    """

    accounts: tuple[Account, ...]
    records: tuple[Record, ...]
    cut: int
    together_ns: int
    cpu_s: float
    peak_rss_bytes: int
    before: Mapping[str, ModelStatistics]
    after: Mapping[str, ModelStatistics]
    used: tuple[ServerUse, ...]
    by_fallback: Mapping[str, int]


class Station:
    """Does a task in this process. Its models can be called between `with` and its end.

    Parameters
    ----------
    task : Task
    client : Caller, optional
        Used for the models instead of a client made here, and not closed.
    max_records : int
        Timing records to keep.

    Raises
    ------
    InferenceError
        If a model cannot be found, by the `with`.
    WorkflowError
        If a module is of no kind that can be run.
    """

    def __init__(self, task: Task, *, client: Caller | None = None, max_records: int = 20_000) -> None:
        self._task = task
        self._client = client
        self._graph = task.workflow.graph()
        self._plan = steps(self._graph, task.workflow.modules)
        self._ledger = Ledger([step.name for step in self._plan], task.threads, max_records)
        self._harvest = Harvest(task.workflow.modules, self._graph, task.kept)
        self._stack = ExitStack()
        self._own: Client | None = None
        self._callees: dict[str, Callee] = {}
        self._scheduler: Scheduler | None = None

    def __enter__(self) -> Self:
        task = self._task
        with self._stack:
            client = self._client
            if task.modes and client is None:
                client = self._own = connect(
                    self._stack,
                    task.workflow,
                    task.servers,
                    task.mode,
                    fallback=task.fallback,
                    timeout_s=task.timeout_s,
                    cores=task.cores,
                )
            self._callees = {} if client is None else callees_of(client, task.workflow.offloads())
            self._idle: tuple[ServerState, ...] = () if self._own is None else self._own.servers()  # asked already
            self._before = statistics(self._callees)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(
        self,
        chunks: Iterable[Chunk | None],
        visit: Callable[[int], FileRange],
        write: Callable[[Finished], None],
        *,
        began_ns: int,
    ) -> None:
        """Run chunks through the modules, once.

        Parameters
        ----------
        chunks : iterable of Chunk or None
            See :meth:`Scheduler.run`.
        visit : callable
            What is known of a file, by the number of its visit.
        write : callable
            Called with what is left of each chunk, by one thread at a time.
        began_ns : int
            When the job began, by :func:`time.perf_counter_ns`.

        Raises
        ------
        ModuleError
            When a module fails and the job is to stop then.
        SonicError
            Whatever `chunks` and `write` raise.
        """
        self._cpu_began_ns = time.process_time_ns()
        task = self._task
        self._scheduler = Scheduler(
            self._graph,
            self._plan,
            self._callees,
            self._ledger,
            threads=task.threads,
            streams=task.streams,
            ordered=task.ordered,
            modes=task.modes,
            on_error=task.on_error,
            clock=lambda: time.perf_counter_ns() - began_ns,
        )
        with Lifecycle(task.workflow.modules, task.about, visit) as life:
            self._scheduler.run(life.reading(chunks), life.writing(lambda chunk: write(self._harvest(chunk))))

    def more(self) -> None:
        """Note that `chunks` has something again, after it gave None. From any thread."""
        if self._scheduler is not None:
            self._scheduler.more()

    def share(self) -> Share:
        """Say what it took up to now."""
        ledger = self._ledger
        return Share(
            accounts=tuple(ledger.accounts),
            records=tuple(ledger.records),
            cut=ledger.cut,
            together_ns=ledger.together_ns,
            cpu_s=(time.process_time_ns() - self._cpu_began_ns) / 1e9,
            peak_rss_bytes=peak_rss_bytes(),
            before=self._before,
            after=statistics(self._callees),
            used=() if self._own is None else tuple(map(use_between, self._idle, self._own.servers())),
            by_fallback={} if self._own is None else self._own.by_fallback(),
        )


class Alone:
    """Does a whole job in this process."""

    lost = 0
    """Processes that died."""

    def __init__(self, task: Task, client: Caller | None) -> None:
        self._station = Station(task, client=client)
        self.began_ns = 0
        """When the first chunk was asked for, by :func:`time.perf_counter_ns`."""

    def run(self, source: TreeSource, done: Collection[int], write: Callable[[Finished], None]) -> None:
        """Read, run and write all chunks that are not done."""
        self.began_ns = time.perf_counter_ns()
        self._station.run(source.chunks(done), source.visit, write, began_ns=self.began_ns)

    def shares(self) -> tuple[Share, ...]:
        """Say what that took."""
        return (self._station.share(),)

    def __enter__(self) -> Self:
        self._station.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._station.__exit__(*error)


def peak_rss_bytes() -> int:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
