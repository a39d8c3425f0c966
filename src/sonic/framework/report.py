"""What a job did and took, as it is reported: frozen records, and nothing that counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from sonic.errors import sendable
from sonic.framework.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        The part of it during which the threads did other work; see :mod:`sonic.framework.ledger`.
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
        CPU time and elapsed time in the job's threads, in seconds, tries that failed included; waits for a model are in
        neither.
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
    """How many requests of this job a server completed, and how many it failed on.

    Errors for which it is not to blame, such as that it lacks the model, are in neither. Of those large enough for it,
    `in_memory` had their tensors in shared memory and `over_wire` had not. `wire_reason` says what stood in the way at
    the end; empty if nothing did. `models` is `completed` by model.
    """

    url: str
    completed: int
    failed: int
    in_memory: int = 0
    over_wire: int = 0
    wire_reason: str = ""
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a job did and what it took. Times are in seconds, sizes in bytes.

    Attributes
    ----------
    servers : tuple of ServerUse
        Those asked, the fallback not among them; none if the job was given a client.
    servers_named_by : str
        ``given``, ``site`` for the balancer that the site announces, ``settings``, ``site and settings``, or ``own``
        for the one that the job started; empty if no module calls a model.
    fallback_models : mapping of str to int
        Requests that no server answered but the fallback did, wherever that runs, by model.
    threads, streams : int
        In all processes together.
    events, events_before : int
        Read, those of chunks left out included; of them, those that earlier runs of this job finished.
    events_written : int
        Summed over the outputs.
    events_per_s : float
        Without what earlier runs finished.
    cpu_s : float
        Of all processes, threads of libraries included.
    peak_rss_bytes : int
        Sum of the processes' peaks.
    external_s, hidden_s : float
        Sums over the offloads; see :class:`OffloadReport`.
    together_s : float
        Summed over the chunks: how long two or more requests of one chunk were on their way at once.
    processes_lost : int
        Processes that died. What they took is in no sum.
    skipped : tuple of Failure
        Chunks left out because a module failed on them.
    records_kept, records_cut : int
        Timing records that are there, and those that came after the trace was full. The sums have all of them.
    """

    workflow: str
    inputs: tuple[str, ...]
    outputs: tuple[Written, ...]
    servers: tuple[ServerUse, ...]
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
    servers_named_by: str = ""
    fallback_models: Mapping[str, int] = field(default_factory=dict)
    processes: int = 1
    processes_lost: int = 0
    together_s: float = 0.0
    events_before: int = 0
    skipped: tuple[Failure, ...] = ()
    totals: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the analyzers summed up, by their name. Not in the JSON."""
    records: tuple[Record, ...] = field(default=(), repr=False)
    """The first timing records of the job, for the trace and the timeline. Not in the JSON."""

    @property
    def by_fallback(self) -> int:
        """Requests that the fallback answered, of all models."""
        return sum(self.fallback_models.values())

    @property
    def hidden_fraction(self) -> float | None:
        """Share of the external time that was hidden behind other work; None if there was none."""
        return self.hidden_s / self.external_s if self.external_s else None

    @property
    def errors(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Statistical errors of the `summaries` that have some, down and up, by module and label."""
        found = {
            module: {label: (each.down, each.up) for label, each in figures.items() if isinstance(each, Measured)}
            for module, figures in self.summaries.items()
        }
        return {module: errors for module, errors in found.items() if errors}

    def share(self, module: ModuleReport) -> float:
        """Share of one module, source or sink in the CPU time of all of them; 0 if they took none."""
        total = sum(each.cpu_s for each in self.modules)
        return module.cpu_s / total if total else 0.0

    @property
    def rate(self) -> str:
        """The throughput as text."""
        return f"{self.events_per_s:.0f} events/s" if self.events_per_s >= 100 else f"{self.events_per_s:.3g} events/s"

    @property
    def headline(self) -> str:
        """The main figures in a few words."""
        words = [f"{self.processes} processes"] if self.processes > 1 else []
        words += [f"{self.threads} threads, {self.streams} streams", self.rate]
        if self.hidden_fraction is not None:
            words.append(f"{100 * self.hidden_fraction:.0f} % of {self.external_s:.3g} s external time hidden")
        return ", ".join(words)

    def to_json(self) -> bytes:
        """Encode as indented JSON."""
        skipped = {"totals", "records", "modules"}
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in skipped}
        fields["hidden_fraction"] = self.hidden_fraction
        fields["by_fallback"] = self.by_fallback
        fields["summaries"] = {
            module: {label: float(value) if isinstance(value, float) else value for label, value in figures.items()}
            for module, figures in self.summaries.items()
        }
        fields["errors"] = self.errors
        fields["modules"] = [asdict(module) | {"cpu_share": self.share(module)} for module in self.modules]
        return msgspec.json.format(msgspec.json.encode(_sendable(msgspec.to_builtins(fields))), indent=2) + b"\n"


def _sendable(value: Any) -> Any:
    """Make of all texts in lists and dicts what JSON takes: a file's name need not be UTF-8."""
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(each) for each in value]
    return sendable(value) if isinstance(value, str) else value


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
