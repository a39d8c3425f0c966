"""What was counted in a slice of time, by one process or by all. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

from sonic.study.histogram import Histogram
from sonic.study.records import Window

if TYPE_CHECKING:
    from sonic.study.records import ServerWindow


@dataclass(slots=True)
class Tally:
    """Counts of one process add up over time (:meth:`then`), and those of processes at the same time (:meth:`beside`).

    Parameters
    ----------
    duration_s : float
    requests, errors, late, rows, bytes_sent, bytes_received : int
        As in :class:`~sonic.study.records.Window`.
    cpu_s : float
        Of the process.
    latencies : Histogram
        Of the requests that succeeded.
    error : str
        The first.
    seconds : Counter of str
        Of jobs that ended: see :func:`sonic.study.load.jobs.seconds_of`.
    """

    duration_s: float = 0.0
    requests: int = 0
    errors: int = 0
    late: int = 0
    rows: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    cpu_s: float = 0.0
    latencies: Histogram = field(default_factory=Histogram)
    error: str = ""
    seconds: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Successful requests a second."""
        return self.requests / self.duration_s if self.duration_s else 0.0

    def then(self, later: Tally) -> Self:
        """Add what the same processes counted later."""
        self.duration_s += later.duration_s
        return self._add(later)

    def beside(self, other: Tally) -> Self:
        """Add what others counted at the same time."""
        self.duration_s = max(self.duration_s, other.duration_s)
        return self._add(other)

    def window(self, server: ServerWindow | None, cores: float | None = None) -> Window:
        """Return what a record says of it, beside what the server counted, or else the cores that it kept busy."""
        return Window(
            duration_s=self.duration_s,
            requests=self.requests,
            errors=self.errors,
            rows=self.rows,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            client_cpu_s=self.cpu_s,
            late=self.late,
            server=server,
            process_cpu_s=cores * self.duration_s if server is None and cores is not None else None,
        )

    def _add(self, other: Tally) -> Self:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies += other.latencies
        self.error = self.error or other.error
        self.seconds.update(other.seconds)
        return self


_SUMS = [each.name for each in fields(Tally) if each.name not in ("duration_s", "latencies", "error", "seconds")]
