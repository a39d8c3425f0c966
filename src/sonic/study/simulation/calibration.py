"""From what was measured, for few clients and for many, to the figures of a simulation. Pure.

What an execution takes is what the server says of those of its size, but for the point of the fewest clients. One
that finds its instance idle takes longer, since a thread has to wake up and the caches are cold, or less, where the
server has one core and reads what else comes in on it; that is seen there.
What is left of the latency at that point is nobody's processor time, but the way between the two, and becomes the
network's delay.

Where more wants to run than there are cores, part of an execution's time is waiting, and processor times are taken in
its place. Not all of the cores is used then, since the system does not find work for each of them at once: what is used
is taken for what there is.

What is known to be short Sonic's server executes in the thread that reads requests, which then is what is busy. What an
execution costs that thread besides is seen where more requests, and fewer, share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from statistics import linear_regression, median
from typing import TYPE_CHECKING, Any

from sonic.errors import DataError
from sonic.server.scheduling.experience import LINGER_S
from sonic.server.scheduling.pace import short_s_on
from sonic.study.records import Executions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.study.records import Record

_SAME = 1.05
"""Executions whose rows differ by less are of the same size."""

_OFTEN = 2
"""Points at which less than one in so many of the most executions of a size are seen say little of it: they are of an
experiment, or of what was left over, while more than usual came in."""

_STEADY = ("fpga_emulator", "identity", "onnxruntime_onnx")
"""Platforms of which Sonic's server takes what was short to be short again."""
_LONG = 3.0
"""What is so many times as long as a wait leaves no time for it."""
_ALWAYS = 0.95
"""A thread that uses so much of a core has one for itself."""


@dataclass(frozen=True)
class Calibration:
    """What a request costs.

    Parameters
    ----------
    service : mapping of int to float
        Seconds of an execution, by its rows.
    wake_s : float
        More that an execution takes whose instance was idle; below 0: less.
    handover_s : float
        Between two executions of an instance, where others wait.
    client_s, front_s : float
        Processor time of a request in the client, and in the server besides its execution.
    rest_s : float
        Of the latency of one client, what is none of these.
    rows : int
        Of a request.
    cores : float
        That clients and server can use; if the server has its own, the clients.
    own_cores : float
        Of the server, if it shares none with the clients; else 0.
    front_wake_s : float
        More that a request costs the server which finds it asleep.
    turn_s : float
        More that executions take at the end of its event loop's turns.
    short_s : float
        What takes less the server's event loop executes itself.
    """

    service: dict[int, float]
    wake_s: float
    handover_s: float
    client_s: float
    front_s: float
    rest_s: float
    rows: int
    cores: float
    own_cores: float = 0.0
    front_wake_s: float = 0.0
    turn_s: float = 0.0
    short_s: float = 0.0

    def tree(self, target: str, *, instances: int = 1, batch: int = 0, delay_us: float = 0.0) -> dict[str, Any]:
        """Return a spec of clients and one server on one machine, as a file of it would have it.

        Parameters
        ----------
        target : str
            The model.
        instances, batch, delay_us
            Of the model.
        """
        model = {
            "service": {"table": {str(rows): time_s for rows, time_s in self.service.items()}},
            "instances": instances,
            "max_rows": batch,
            "delay_us": delay_us,
            "handover_s": self.handover_s,
            "wake_s": self.wake_s,
            "turn_s": self.turn_s,
            "short_s": self.short_s,
            "threads": 1,
        }
        server = {
            **({"cores": self.own_cores} if self.own_cores else {"with_clients": True}),
            "overhead_s": self.front_s,
            "wake_s": self.front_wake_s,
            "network": {"round_trip_ms": 1e3 * self.rest_s},
        }
        return {
            "target": target,
            "models": {target: model},
            "servers": [server],
            "client": {"overhead_s": self.client_s, "cores": self.cores},
            "clients": {"rows": self.rows},
        }


def calibrate(records: Sequence[Record]) -> Calibration:
    """Take figures from records of one model that differ in ``clients`` alone; executions have one thread.

    Parameters
    ----------
    records : sequence of Record
        One will do: then all rows are taken to cost alike, and no request to cost less where there are many.

    Raises
    ------
    DataError
        If a record is not measured, is of a rate or of jobs, or lacks what the server counts and its processor time.
    """
    if not records:
        raise DataError("a simulation is calibrated with a record at least, given none")
    points = [_Point(record) for record in sorted(records, key=lambda each: float(each.settings.get("clients", 1)))]
    few, many = points[0], points[-1]
    cores, own_cores = float(records[0].machine.cores), records[0].served("own_cores")
    if short_s := _short_s(records[0], few):
        return _of_loop(points, cores, own_cores, short_s)
    full = [point for point in points if point.waits] or [many]
    wanted = many.instances + many.rate * (many.client_s + many.besides_s)
    if many.waits and wanted > cores and not own_cores:
        service = _crowded(few, many)
        wake_s = handover_s = 0.0
        front_s = max(0.0, many.server_s - service[max(service)] / many.merged)
        cores = min(cores, median(point.rate * (point.client_s + point.server_s) for point in full))
    else:
        service = _by_rows(points)
        wake_s = few.execution_s - service[min(service)]
        # After many rows more passes than after few, so among sizes the least is what passes after each.
        between = median if len(service) == 1 else min
        handover_s = between(max(0.0, point.taken_s - point.one_s) for point in full) if many.waits else 0.0
        front_s = median(max(0.0, point.server_s - (point.one_s + handover_s) / point.merged) for point in full)
    client_s = median(point.client_s for point in full)
    rest_s = max(0.0, few.latency_s - client_s - front_s - few.execution_s - few.delay_s)
    return Calibration(
        service=service,
        wake_s=wake_s,
        handover_s=handover_s,
        client_s=client_s,
        front_s=front_s,
        rest_s=rest_s,
        rows=few.rows,
        cores=cores,
        own_cores=own_cores,
    )


def _short_s(record: Record, point: _Point) -> float:
    """Return what takes less the server's event loop executes; 0 if the model's executions do not."""
    steady = record.versions.get("server", "").startswith("sonic") and record.versions.get("platform") in _STEADY
    short_s = short_s_on(record.served("own_cores", record.machine.cores))
    return short_s if steady and point.waits_s <= LINGER_S and point.execution_s < short_s else 0.0


def _of_loop(points: Sequence[_Point], cores: float, own_cores: float, short_s: float) -> Calibration:
    """Take figures of a server whose event loop executes the model."""
    few, service = points[0], _by_rows(points)
    full = [point for point in points if point.loaded and not point.lingers] or [points[-1]]
    front_s, handover_s, turn_s = _besides(points, full)
    client_s = median(point.client_s for point in full)
    alone_s = front_s + service[min(service)] + handover_s
    # While it waits for company, the loop looks for it; while it waits for the next request, it may, too.
    wake_s = max(0.0, min(few.server_s, few.latency_s - client_s) - few.delay_s - alone_s)
    rest_s = max(0.0, few.latency_s - client_s - alone_s - wake_s - few.delay_s)
    if not own_cores:
        cores = min(cores, median(point.cores for point in full))
    return Calibration(
        service=service,
        wake_s=0.0,
        handover_s=handover_s,
        client_s=client_s,
        front_s=front_s,
        rest_s=rest_s,
        rows=few.rows,
        cores=cores,
        own_cores=own_cores,
        front_wake_s=wake_s,
        turn_s=turn_s,
        short_s=short_s,
    )


def _besides(points: Sequence[_Point], full: Sequence[_Point]) -> tuple[float, float, float]:
    """Return what a server of one thread does for each request, execution, and end of a turn with several requests."""
    alone = [point.besides_s for point in full if point.merged < _SAME]
    merged = [(1 / point.merged, point.besides_s) for point in full if point.merged >= _SAME]
    if not merged:
        return median(alone), 0.0, 0.0
    # Where it is not always busy it wakes up besides, the less often the more it has to do.
    some = (max(0.0, each.besides_s - each.delay_s) for each in points if each is points[0] or each.merged < _SAME)
    alone_s = median(alone) if alone else min(some)
    least, least_s = min(merged)
    if max(merged)[0] > _SAME * least:
        execution_s = linear_regression(*zip(*merged, strict=True)).slope  # of those at the end of a turn
    else:
        execution_s = (alone_s - least_s) / (1 - least)
    execution_s = max(0.0, execution_s)
    front_s = max(0.0, median(all_s - execution_s * share for share, all_s in merged))
    handover_s = min(max(0.0, alone_s - front_s), execution_s)
    return front_s, handover_s, execution_s - handover_s


def _by_rows(points: Sequence[_Point]) -> dict[int, float]:
    """Return what an execution takes, by its rows; more rows never take less."""
    # Those of the first point found their instance idle, and tell only of sizes that there are no others of.
    known: dict[int, tuple[int, float]] = {}
    for some in (points[1:], points[:1]):
        already = set(known)
        most = _most(some)
        for size in (size for point in some for size in point.sizes):
            if size.rows not in already and _OFTEN * size.number >= most[size.rows]:
                number, all_s = known.get(size.rows, (0, 0.0))
                known[size.rows] = number + size.number, all_s + size.number * size.mean_s
    blocks: list[tuple[list[int], int, float]] = []  # sizes, executions, and their time; means never fall
    for rows, (number, all_s) in sorted(known.items()):
        block = [rows], number, all_s
        while blocks and blocks[-1][2] / blocks[-1][1] > block[2] / block[1]:
            before = blocks.pop()
            block = before[0] + block[0], before[1] + block[1], before[2] + block[2]
        blocks.append(block)
    return {rows: all_s / number for sizes, number, all_s in blocks for rows in sizes}


def _most(points: Sequence[_Point]) -> dict[int, int]:
    """Return the most executions of a size at any of the points, by its rows."""
    most: dict[int, int] = {}
    for size in (size for point in points for size in point.sizes):
        most[size.rows] = max(most.get(size.rows, 0), size.number)
    return most


def _crowded(few: _Point, many: _Point) -> dict[int, float]:
    """Return what an execution takes by itself, and among as many rows as there are where all is busy."""
    if many.batch < _SAME * few.batch:
        return {round(few.batch): few.execution_s}
    # Of a mean execution: an instance's whole time, but no more than all the processor time of the server.
    many_s = min(many.taken_s, many.server_s * many.merged)
    return {round(few.batch): few.execution_s, round(many.batch): max(few.execution_s, many_s)}


class _Point:
    """What a record says of a request; means over its windows."""

    def __init__(self, record: Record) -> None:
        windows = [window for window in record.windows if window.requests]
        servers = [window.server for window in windows if window.server is not None]
        if "clients" not in record.settings or record.latencies is None:
            raise DataError(
                f"a record of {record.target} is of no clients that call a model: there is none to calibrate with"
            )
        where = f"record of {record.target} with {record.settings['clients']} clients"
        if record.status != "measured" or not windows:
            raise DataError(f"{where} is {record.status}, and none to calibrate with")
        if len(servers) < len(windows) or any(each.cpu_s is None or not each.executions for each in servers):
            raise DataError(f"{where} lacks the server's statistics, or its processor time: is it on this host?")
        requests = sum(each.requests for each in windows)
        served, executions = sum(each.requests for each in servers), sum(each.executions for each in servers)
        self.latency_s = record.latencies.mean_s
        self.rows = round(sum(each.rows for each in windows) / requests)
        self.client_s = sum(each.client_cpu_s for each in windows) / requests
        self.server_s = sum(each.cpu_s or 0.0 for each in servers) / served
        self.execution_s = (
            sum((each.input_s + each.infer_s + each.output_s) * each.requests for each in servers) / served
        )
        queued_s = sum(each.queue_s * each.requests for each in servers)
        # How long it may wait for company, and did though there was none.
        self.waits_s = 1e-6 * record.served("delay_us") if record.served("batch") else 0.0
        self.delay_s = min(queued_s / served, self.waits_s)
        # Of an instance's time, by execution. All of it is taken where requests always wait.
        self.instances = int(record.served("instances", 1))
        duration_s = sum(window.server_duration_s for window in windows)
        self.taken_s = self.instances * duration_s / executions
        self.rate = served / duration_s
        # Whether on average a request waits for each instance: then none is ever idle.
        self.waits = queued_s / duration_s >= self.instances
        self.batch = sum(each.rows for each in servers) / executions
        self.merged = served / executions
        self.sizes = [size for each in servers for size in each.sizes] or [
            Executions(rows=round(self.batch), number=executions, mean_s=self.execution_s)
        ]
        # Of a mean execution; of a mean request's it is longer, since large ones have more requests.
        self.one_s = sum(size.number * size.mean_s for size in self.sizes) / sum(size.number for size in self.sizes)
        self.besides_s = max(0.0, self.server_s - self.one_s / self.merged)

    @property
    def loaded(self) -> bool:
        """Whether a server of one thread always has something to do."""
        return self.rate * self.server_s > _ALWAYS or self.latency_s > 2 * (self.client_s + self.server_s)

    @property
    def lingers(self) -> bool:
        """Whether a server of one thread has time to wait for company: it has not while it reads enough requests."""
        return (self.merged - 1) * self.besides_s < _LONG * self.waits_s

    @property
    def cores(self) -> float:
        """What one thread of the clients and one of the server have to run on, of which one is always busy."""
        less, more = sorted((self.rate * self.client_s, self.rate * self.server_s))
        if less + more <= 1:
            return less + more
        # While both run each has a part of a core, and a whole one while the other has nothing to do.
        return inf if more > _ALWAYS else 2 * less / (less + 1 - more)
