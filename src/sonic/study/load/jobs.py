"""The work of one process that is a job: a workflow over the events of its files, again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING

from sonic.client.model import Client
from sonic.errors import ConfigError, one_line
from sonic.framework.job import run
from sonic.framework.report import SINK, SOURCE
from sonic.framework.workflow import load
from sonic.study.load.lines import clock
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    from sonic.framework.report import Report
    from sonic.framework.workflow import Workflow
    from sonic.study.load.crew import Orders


@dataclass(frozen=True)
class Job:
    """A workflow as the target of a load.

    Parameters
    ----------
    workflow : str
        Name of an installed one, or a Python file.
    files : tuple of str
        With the events, over which each job goes again and again.
    options : tuple of str
        Of the workflow, ``key=value``.
    chunk_size : int or None
        Events in a chunk; None: as the workflow says.
    threads : int
        Of each job.
    streams : int or None
        Chunks in flight in each job; None: as :func:`sonic.run` has it.

    Raises
    ------
    ConfigError
        If a number is below 1.
    """

    workflow: str
    files: tuple[str, ...]
    options: tuple[str, ...] = ()
    chunk_size: int | None = None
    threads: int = 1
    streams: int | None = None

    def __post_init__(self) -> None:
        for name in ("chunk_size", "threads", "streams"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ConfigError(f"{name} is 1 or more; given {given}")

    def load(self) -> Workflow:
        """Find the workflow.

        Raises
        ------
        ConfigError
            If there is none.
        """
        return load(self.workflow, self.options)


_RUN_S = 2.0
"""Of one run over the files, so often as that takes: its beginning and end, which a real job has once, count little."""

_PAUSE_S = 0.2
"""After a run that failed."""


class _EndedError(Exception):
    """The job is to stop."""


@dataclass(frozen=True)
class JobWork:
    """One job; see :class:`~sonic.study.load.crew.Work`.

    Parameters
    ----------
    job : Job
    server : str
        URL.
    timeout_s : float
        Of its requests.
    """

    job: Job
    server: str
    timeout_s: float

    def prepare(self) -> RunningJob:
        """Load the workflow."""
        return RunningJob(self, self.job.load())


class RunningJob:
    """A job that goes on until it is told to end. A chunk counts as a request, its events as rows."""

    def __init__(self, work: JobWork, workflow: Workflow) -> None:
        self._work = work
        self._workflow = workflow
        self._lock = Lock()
        self._tally = Tally()
        self._cut_s, self._cpu_s = 0.0, 0.0
        self._ended = False

    def run(self, orders: Orders) -> None:
        """Run the job over and over; a thread reports meanwhile."""
        time.sleep(max(0.0, orders.start_s - clock()))
        self._cut_s, self._cpu_s = clock(), time.process_time()
        reporter = Thread(target=self._report, args=(orders,), name="sonic-report", daemon=True)
        reporter.start()
        job = self._work.job
        with Client([self._work.server], fallback=False, timeout_s=self._work.timeout_s) as client:
            repeat = 1
            while not self._ended:
                self._seen = 0
                try:
                    report = run(
                        self._workflow,
                        job.files,
                        servers=[self._work.server],
                        threads=job.threads,
                        streams=job.streams,
                        chunk_size=job.chunk_size,
                        timeout_s=self._work.timeout_s,
                        repeat=repeat,
                        ordered=False,
                        progress=self._advance,
                        client=client,
                    )
                except _EndedError:
                    break
                except Exception as error:  # noqa: BLE001 - counted, and tried again until it is told to end
                    self._fail(one_line(error))
                else:
                    repeat = max(1, round(repeat * _RUN_S / report.wall_s))
                    with self._lock:
                        self._tally.seconds.update(seconds_of(report))
        reporter.join()

    def _advance(self, done: int, _: int, /) -> None:
        with self._lock:
            self._tally.requests += 1
            self._tally.rows += done - self._seen
        self._seen = done
        if self._ended:
            raise _EndedError

    def _fail(self, error: str) -> None:
        with self._lock:
            self._tally.errors += 1
            self._tally.error = self._tally.error or error
        time.sleep(_PAUSE_S)

    def _report(self, orders: Orders) -> None:
        next_s = orders.start_s
        while not self._ended:
            next_s += orders.slice_s
            self._ended = orders.connection.poll(max(0.0, next_s - clock()))
            now_s, cpu_s = clock(), time.process_time()
            with self._lock:
                tally, self._tally = self._tally, Tally()
            tally.duration_s, tally.cpu_s = now_s - self._cut_s, cpu_s - self._cpu_s
            self._cut_s, self._cpu_s = now_s, cpu_s
            orders.report(tally)


def seconds_of(report: Report) -> dict[str, float]:
    """Return what a run took, summed over its events, in seconds, with the events themselves as ``events``.

    ``module_s.NAME`` is the time in the job's threads and the time that its requests were away.
    """
    seconds = {"events": float(report.events), "cpu_s": report.cpu_s}
    for module in report.modules:
        if module.name not in (SOURCE, SINK):
            away_s = module.offload.external_s if module.offload else 0.0
            seconds[f"module_s.{module.name}"] = module.wall_s + away_s
    return seconds
