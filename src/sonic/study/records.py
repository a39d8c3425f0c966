"""What was measured at one point of a study: the one record that all its tools write and read. Pure.

A record is JSON, one document a measurement, with whatever is needed to understand it years later: settings, machine,
versions. A time is in seconds, a size in bytes, a rate in 1/s, unless its name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Setting = bool | int | float | str
Status = Literal["measured", "unstable", "failed", "interrupted"]


def written(setting: Setting | None) -> str:
    """Return a setting as a specification has it: ``true``, ``10``, ``0.5``, ``grpc``; nothing for None."""
    if setting is None:
        return ""
    if isinstance(setting, bool):
        return str(setting).lower()
    return f"{setting:.12g}" if isinstance(setting, float) else str(setting)


def digits(number: float, most: int = 3) -> str:
    """Write a number with so many digits, or all that it has before the point: ``0.0125``, ``16,000``."""
    return f"{number:,.0f}" if abs(number) >= 10 ** (most - 1) else f"{number:,.{most}g}"


class Estimate(msgspec.Struct, frozen=True):
    """A mean over repeats, and the interval that covers it with 95 % (Student's t); None after one repeat.

    Repeats are the windows of a measurement or, of a point that was measured in several rounds, the means of these.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests took, from when they were due to their answer.

    Parameters
    ----------
    count : int
    mean_s, least_s, most_s : float
    edges_s : tuple of float [bins + 1]
        Bins of equal width in the logarithm; the first and the last take in what lies beyond.
    counts : tuple of int [bins]
    """

    count: int
    mean_s: float
    least_s: float
    most_s: float
    edges_s: tuple[float, ...]
    counts: tuple[int, ...]


class Executions(msgspec.Struct, frozen=True, kw_only=True):
    """Executions of one size.

    Parameters
    ----------
    rows : int
        Of each.
    number : int
    mean_s : float
        What one took, with its inputs and outputs.
    """

    rows: int
    number: int
    mean_s: float


def executed(before: Mapping[int, tuple[int, float]], after: Mapping[int, tuple[int, float]]) -> tuple[Executions, ...]:
    """Return what was executed between two counts, the smallest size first.

    Parameters
    ----------
    before, after : mapping of int to (int, float)
        By rows, the number of executions and the sum of their times, in seconds.
    """
    sizes = []
    for rows, (number, all_s) in sorted(after.items()):
        earlier, earlier_s = before.get(rows, (0, 0.0))
        if number > earlier:
            mean_s = (all_s - earlier_s) / (number - earlier)
            sizes.append(Executions(rows=rows, number=number - earlier, mean_s=mean_s))
    return tuple(sizes)


class ServerWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What the server counted meanwhile: its statistics after, less those before.

    They are read while the load goes on, so that they are of a stretch of time of their own.

    Parameters
    ----------
    requests, failures, executions, rows : int
        Rows as Triton's ``inference_count`` has them.
    queue_s, input_s, infer_s, output_s : float
        Mean over the requests.
    cpu_s : float or None
        Processor time of its process in `duration_s`; None where it does not say.
    gpu_use : float or None
        Mean part of the time that its GPUs were busy, 0 to 1.
    sizes : tuple of Executions
        By size; empty where the server does not say, or counts those of several models.
    duration_s : float or None
        From one reading to the other; None: as long as the window.
    """

    requests: int
    failures: int
    executions: int
    rows: int
    queue_s: float
    input_s: float
    infer_s: float
    output_s: float
    cpu_s: float | None = None
    gpu_use: float | None = None
    sizes: tuple[Executions, ...] = ()
    duration_s: float | None = None

    @property
    def batch_rows(self) -> float:
        """Rows of a mean execution."""
        return self.rows / self.executions if self.executions else 0.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One repeat: a stretch of time in which the load was stable.

    Parameters
    ----------
    duration_s : float
    requests, errors, rows : int
        That ended in it.
    bytes_sent, bytes_received : int
        Of tensors.
    client_cpu_s : float
        Of all processes of the load generator.
    late : int
        Requests of an open loop that were sent more than a millisecond after they were due: counted from when they
        were due nevertheless.
    server : ServerWindow or None
        None where it does not say.
    process_cpu_s : float or None
        Processor time of the process of a server that does not say, in `duration_s`, where it is on this host.
    """

    duration_s: float
    requests: int
    errors: int
    rows: int
    bytes_sent: int = 0
    bytes_received: int = 0
    client_cpu_s: float = 0.0
    late: int = 0
    server: ServerWindow | None = None
    process_cpu_s: float | None = None

    @property
    def server_cpu_s(self) -> float | None:
        """Processor time of the server in `server_duration_s`, whoever told it; None where nobody did."""
        return self.process_cpu_s if self.server is None else self.server.cpu_s

    @property
    def server_duration_s(self) -> float:
        """How long it is that the server's figures are of."""
        return self.duration_s if self.server is None or self.server.duration_s is None else self.server.duration_s


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    system: str
    processor: str
    cores: int
    gpus: tuple[str, ...] = ()


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One of several measurements of a point, far apart in time. Its fields are as those of a :class:`Record`."""

    started: str
    status: Status
    reason: str = ""
    throughput: Estimate | None = None
    row_rate: Estimate | None = None


def counting(rounds: Sequence[Round]) -> Sequence[Round]:
    """Return the rounds whose figures are a point's: those that were measured or, if none was, the unstable ones."""
    there = [each for each in rounds if each.throughput is not None]
    for status in ("measured", "unstable"):
        if found := [each for each in there if each.status == status]:
            return found
    return there


class Record(msgspec.Struct, frozen=True, kw_only=True, tag="point", tag_field="sonic_study"):
    """One point.

    Parameters
    ----------
    target : str
        Model or workflow.
    settings : dict of str to bool, int, float or str
        All that makes this point another one than its neighbours: ``clients``, ``rate``, ``rows``, ``protocol``,
        ``instances``, ``batch``, ``delay_us``, ``round_trip_ms``, ``bandwidth_mbps``, ``copies``, ``compression`` ...;
        ``shape.NAME`` of an input whose shape was said, ``with.NAME`` of a workflow's option.
    status : {"measured", "unstable", "failed", "interrupted"}
        Figures of one that never became stable are there, and not to be trusted.
    reason : str
        Why it is not measured.
    started : str
        ISO 8601, UTC; of the first round.
    throughput, row_rate : Estimate or None
        Successful requests, and rows, a second. Of a workflow: chunks, and events.
    latencies : Latencies or None
        Over all windows.
    windows : tuple of Window
        Of all rounds that count, one round after the other.
    machine : Machine
    versions : dict of str to str
        Of Sonic and Python, of the server, of what computes.
    details : dict of str to float
        Further figures of a target: seconds a module; ``instances``, ``batch`` (0: none) and ``delay_us``, as the
        server says; and ``own_cores``, how many cores the server has that the load may not use, if all of its are such.
        Means over the rounds that count.
    rounds : tuple of Round
        In which a scan measured it; empty where it was measured at once. Those count that were measured to their end,
        or, if none was, those that never became stable.
    """

    target: str
    settings: dict[str, Setting]
    status: Status
    started: str
    machine: Machine
    versions: dict[str, str]
    reason: str = ""
    throughput: Estimate | None = None
    row_rate: Estimate | None = None
    latencies: Latencies | None = None
    windows: tuple[Window, ...] = ()
    details: dict[str, float] = {}
    rounds: tuple[Round, ...] = ()

    @property
    def repeats(self) -> int:
        """How many figures its means and their intervals are over; 0 where it does not say."""
        several = len(counting(self.rounds))
        return several if several > 1 else len(self.windows)

    def served(self, name: str, otherwise: float = 0.0) -> float:
        """How the target is executed: its ``instances``, ``batch``, ``delay_us`` or ``own_cores``.

        As its server says, or else as they were set; `otherwise` where nobody says.
        """
        return float(self.details.get(name, self.settings.get(name, otherwise)))


def counted(records: Iterable[Record]) -> tuple[str, str]:
    """Return what ``throughput`` and ``row_rate`` count: requests and rows; of jobs, chunks and events; or both."""
    of_jobs = {"threads" in record.settings for record in records}
    if of_jobs == {True}:
        return "chunks", "events"
    return ("requests or chunks", "rows or events") if True in of_jobs else ("requests", "rows")


def failures(record: Record) -> int:
    """Return how many requests failed in the windows of a record."""
    return sum(window.errors for window in record.windows)


def server_cpu(record: Record) -> tuple[float, float] | None:
    """Return what the server's processors did over the windows of a record; None where nobody says.

    Returns
    -------
    request_s : float
        Processor time of a request, in seconds: of all clients' requests where the server counts them; where it does
        not, of the load's (of jobs: of a chunk).
    cores : float
        That it kept busy, on average.
    """
    known = [window for window in record.windows if window.server_cpu_s is not None]
    requests = sum(window.server.requests if window.server else window.requests for window in known)
    if not requests:
        return None
    used_s = sum(window.server_cpu_s or 0.0 for window in known)
    return used_s / requests, used_s / sum(window.server_duration_s for window in known)
