"""What a run took: timing records summed up as they come, and the report made of them.

Pure: every time is an argument, in nanoseconds since the job began.

How much external time was hidden
---------------------------------
While a request is on its way, its module needs no thread. If all threads of the job are busy with other work for that
long, the request cost nothing; if all of them stand idle, it cost its whole duration. With ``busy(t)`` the number of
threads that execute something at time `t` (a thread blocked by a `sync` module does not), the hidden part of a wait
from `a` to `b` in a job of `T` threads is the integral of ``busy(t) / T`` from `a` to `b`. The integral is kept as a
running sum, so that a wait needs only its two ends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.protocol.messages import ModelStatistics

SOURCE = "(source)"
SINK = "(sink)"


class Phase(StrEnum):
    """What was going on: `run` of an ordinary module, the parts of an offload, or the wait between them."""

    RUN = "run"
    ACQUIRE = "acquire"
    WAIT = "wait"
    PRODUCE = "produce"


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was done, or one wait.

    Parameters
    ----------
    module : str
        Its name, or ``(source)`` or ``(sink)``.
    phase : Phase
    chunk, stream : int
        Number of the chunk, and the stream it was on; -1 for the sink, which is on none.
    worker : int
        Number of the thread; -1 for a wait.
    start_ns, stop_ns : int
        Since the job began.
    """

    module: str
    phase: Phase
    chunk: int
    stream: int
    worker: int
    start_ns: int
    stop_ns: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A chunk that was left out because a module failed on it.

    Parameters
    ----------
    module : str
    error : str
        In one line.
    chunk : int
        Number of the chunk in the job.
    file : str
    start, stop : int
        Its entries of the file, `stop` excluded.
    """

    module: str
    error: str
    chunk: int
    file: str
    start: int
    stop: int


@dataclass(frozen=True)
class ServerReport:
    """What a model's server counted between begin and end of the job: model-wide, all of its clients together.

    ``mean_batch`` is rows per execution, as the server batched them. Times are totals in seconds.
    """

    rows: int
    executions: int
    mean_batch: float
    queue_s: float
    compute_s: float


@dataclass(frozen=True)
class OffloadReport:
    """The external side of a module.

    Parameters
    ----------
    model, version, mode : str
    requests : int
        Requests made; a call of more rows than the model takes at once is several.
    rows, batch_min, batch_max, batch_mean
        Rows sent, and the smallest, largest and mean call as this job made them.
    bytes_sent, bytes_received : int
        Bytes of tensors, before framing and compression.
    external_s : float
        Sum of the waits, from the request's departure to its answer, in seconds. Waits of several chunks overlap.
    hidden_s : float
        The part of it during which the threads did other work; see the top of this module.
    server : ServerReport or None
        None where the server gives no statistics.
    """

    model: str
    version: str
    mode: str
    requests: int
    rows: int
    batch_min: int
    batch_max: int
    batch_mean: float
    bytes_sent: int
    bytes_received: int
    external_s: float
    hidden_s: float
    server: ServerReport | None = None


@dataclass(frozen=True)
class ModuleReport:
    """One module over the whole job.

    Parameters
    ----------
    name, kind : str
        Kind is ``producer``, ``filter``, ``analyzer``, ``offload``, ``source`` or ``sink``.
    calls : int
        Chunks it was given.
    events : int
        Events it saw.
    passed : int or None
        Events that a filter let pass.
    cpu_s, wall_s : float
        CPU time and elapsed time in the job's threads, in seconds; waits for a model are not in either.
    offload : OffloadReport or None
    retries : int
        How often it was tried again after an error.
    """

    name: str
    kind: str
    calls: int
    events: int
    passed: int | None
    cpu_s: float
    wall_s: float
    offload: OffloadReport | None = None
    retries: int = 0


@dataclass(frozen=True)
class Written:
    """An output, and how many events it has."""

    path: str
    events: int


@dataclass(frozen=True)
class ServerUse:
    """How many requests of this job a server completed, and how many it did not take or answered with an error."""

    url: str
    completed: int
    failed: int


@dataclass(frozen=True)
class Report:
    """What a job did and what it took. Times are in seconds, sizes in bytes.

    `cpu_s` is that of the whole process, threads of libraries included. `external_s` and `hidden_s` are sums over the
    offloads, `events_written` over the outputs. For `together_s`, summed over the chunks, two or more requests of one
    chunk were on their way at once. `by_fallback` counts requests that no server answered but the
    workflow's own models did, in this process. `events_before` of the events were finished by earlier runs of this
    job, and are not in the rate. `skipped` lists the chunks left out because a module failed on them; their events are
    counted in `events`. `records_cut` counts timing records that came after the trace was full; the sums have all of
    them.
    """

    workflow: str
    inputs: tuple[str, ...]
    outputs: tuple[Written, ...]
    servers: tuple[ServerUse, ...]
    by_fallback: int
    mode: str
    offload_mode: str
    threads: int
    streams: int
    chunk_size: int
    repeat: int
    events: int
    events_written: int
    chunks: int
    wall_s: float
    cpu_s: float
    events_per_s: float
    external_s: float
    hidden_s: float
    peak_rss_bytes: int
    modules: tuple[ModuleReport, ...]
    summaries: Mapping[str, Mapping[str, float | int | str]]
    versions: Mapping[str, str]
    records_kept: int
    records_cut: int
    together_s: float = 0.0
    events_before: int = 0
    skipped: tuple[Failure, ...] = ()
    totals: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the analyzers summed up, by their name. Not in the JSON."""
    records: tuple[Record, ...] = field(default=(), repr=False)
    """The first timing records of the job, for the trace and the timeline. Not in the JSON."""

    @property
    def hidden_fraction(self) -> float | None:
        """Share of the external time that was hidden behind other work; None if there was none."""
        return self.hidden_s / self.external_s if self.external_s else None

    @property
    def rate(self) -> str:
        """The throughput as text."""
        return f"{self.events_per_s:.0f} events/s" if self.events_per_s >= 100 else f"{self.events_per_s:.3g} events/s"

    @property
    def headline(self) -> str:
        """The main figures in a few words."""
        words = [f"{self.threads} threads, {self.streams} streams", self.rate]
        if self.hidden_fraction is not None:
            words.append(f"{100 * self.hidden_fraction:.0f} % of {self.external_s:.3g} s external time hidden")
        return ", ".join(words)

    def to_json(self) -> bytes:
        """Encode as indented JSON."""
        skipped = {"totals", "records", "modules"}
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in skipped}
        fields["hidden_fraction"] = self.hidden_fraction
        fields["modules"] = [asdict(module) for module in self.modules]
        return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


class Ledger:
    """Sums of the timing of a job, with its first records. Not thread-safe: the scheduler's lock guards it.

    Its size depends on the number of modules and on `max_records`, not on the length of the job.

    Parameters
    ----------
    names : sequence of str
        The modules. Two more places are kept behind them, for the source and the sink.
    threads : int
        Threads that execute modules.
    max_records : int
        Records to keep.
    """

    def __init__(self, names: Sequence[str], threads: int, max_records: int = 20_000) -> None:
        self.names = (*names, SOURCE, SINK)
        self.accounts = [Account() for _ in self.names]
        self.records: list[Record] = []
        self.cut = 0
        self._threads = threads
        self._max_records = max_records
        self._busy = 0
        self._changed_ns = 0
        self._busy_ns = 0  # integral of the number of busy threads
        self.together_ns = 0
        self._out: dict[int, tuple[int, int]] = {}  # by chunk: requests on their way, since when that many

    def busy(self, now_ns: int, change: int) -> None:
        """Note that threads began (positive) or ceased (negative) to execute something."""
        self._busy_ns += self._busy * (now_ns - self._changed_ns)
        self._changed_ns = now_ns
        self._busy += change

    def mark(self, now_ns: int) -> int:
        """Thread-nanoseconds executed up to now."""
        return self._busy_ns + self._busy * (now_ns - self._changed_ns)

    def worked(
        self, i: int, phase: Phase, chunk: int, stream: int, worker: int, start_ns: int, stop_ns: int, cpu_ns: int
    ) -> None:
        """Book something that a thread executed for module `i`."""
        account = self.accounts[i]
        account.wall_ns += stop_ns - start_ns
        account.cpu_ns += cpu_ns
        self._keep(i, phase, chunk, stream, worker, start_ns, stop_ns)

    def departed(self, chunk: int, now_ns: int) -> int:
        """Note that a request of a chunk departs; returns the mark to be handed to :meth:`waited`."""
        self._change_out(chunk, now_ns, +1)
        return self.mark(now_ns)

    def _change_out(self, chunk: int, now_ns: int, change: int) -> None:
        count, since_ns = self._out.get(chunk, (0, now_ns))
        if count > 1:
            self.together_ns += now_ns - since_ns
        if count + change:
            self._out[chunk] = (count + change, now_ns)
        else:
            del self._out[chunk]

    def waited(self, i: int, chunk: int, stream: int, start_ns: int, stop_ns: int, mark: int) -> None:
        """Book a wait of module `i` that ends now; `mark` is what :meth:`departed` returned."""
        self._change_out(chunk, stop_ns, -1)
        account = self.accounts[i]
        account.external_ns += stop_ns - start_ns
        account.hidden_ns += (self.mark(stop_ns) - mark) / self._threads
        self._keep(i, Phase.WAIT, chunk, stream, -1, start_ns, stop_ns)

    def _keep(self, i: int, phase: Phase, chunk: int, stream: int, worker: int, start_ns: int, stop_ns: int) -> None:
        if len(self.records) < self._max_records:
            self.records.append(Record(self.names[i], phase, chunk, stream, worker, start_ns, stop_ns))
        else:
            self.cut += 1


@dataclass(slots=True)
class Account:
    """Running sums of one module."""

    calls: int = 0
    events: int = 0
    passed: int = 0
    retries: int = 0
    wall_ns: int = 0
    cpu_ns: int = 0
    external_ns: int = 0
    hidden_ns: float = 0.0
    calls_sent: int = 0
    requests: int = 0
    rows: int = 0
    batch_min: int = 0
    batch_max: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def sent(self, rows: int, max_batch: int, size_bytes: int) -> None:
        """Add a call of the model with that many rows, of which it takes `max_batch` at once (0: any number)."""
        self.batch_min = min(self.batch_min, rows) if self.calls_sent else rows
        self.batch_max = max(self.batch_max, rows)
        self.calls_sent += 1
        self.requests += -(-rows // max_batch) if max_batch else 1
        self.rows += rows
        self.bytes_sent += size_bytes

    def offload(self, model: str, version: str, mode: str, server: ServerReport | None) -> OffloadReport:
        """Report on the external side."""
        return OffloadReport(
            model=model,
            version=version,
            mode=mode,
            requests=self.requests,
            rows=self.rows,
            batch_min=self.batch_min,
            batch_max=self.batch_max,
            batch_mean=self.rows / self.calls_sent if self.calls_sent else 0.0,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            external_s=self.external_ns / 1e9,
            hidden_s=self.hidden_ns / 1e9,
            server=server,
        )

    def report(
        self, name: str, kind: str, *, filters: bool = False, offload: OffloadReport | None = None
    ) -> ModuleReport:
        """Report on the module; `filters` says whether it lets events pass or not."""
        return ModuleReport(
            name=name,
            kind=kind,
            calls=self.calls,
            events=self.events,
            passed=self.passed if filters else None,
            cpu_s=self.cpu_ns / 1e9,
            wall_s=self.wall_ns / 1e9,
            retries=self.retries,
            offload=offload,
        )


def server_report(before: ModelStatistics, after: ModelStatistics) -> ServerReport | None:
    """Difference of a model's counters; None if they ran backwards, because the model was loaded anew."""
    rows = after.inference_count - before.inference_count
    executions = after.execution_count - before.execution_count
    if rows < 0 or executions < 0:
        return None
    return ServerReport(
        rows=rows,
        executions=executions,
        mean_batch=rows / executions if executions else 0.0,
        queue_s=(after.queue.total_ns - before.queue.total_ns) / 1e9,
        compute_s=sum(
            getattr(after, part).total_ns - getattr(before, part).total_ns
            for part in ("compute_input", "compute_infer", "compute_output")
        )
        / 1e9,
    )
