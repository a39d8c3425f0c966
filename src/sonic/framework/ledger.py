"""Timing records of a job, summed up as they come.

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

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sonic.framework.report import SINK, SOURCE, ModuleReport, OffloadReport, Phase, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.framework.report import ServerReport


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

    def add(self, other: Account) -> None:
        """Add what another process booked for the same module."""
        if other.calls_sent:
            self.batch_min = min(self.batch_min, other.batch_min) if self.calls_sent else other.batch_min
            self.batch_max = max(self.batch_max, other.batch_max)
        for sums in fields(self):
            if sums.name not in ("batch_min", "batch_max"):
                setattr(self, sums.name, getattr(self, sums.name) + getattr(other, sums.name))

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
