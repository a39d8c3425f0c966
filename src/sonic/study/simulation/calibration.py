"""From what was measured at one or two points to the figures of a simulation. Pure.

At the point of the fewest clients nothing waits: there an execution takes what it takes. At the point of the most
clients everything is busy: there the processor time of a request, in the client and in the server, and what a row more
costs are seen best. What is left of the latency at the first point is nobody's processor time, but wake-ups
and the way between the two, and becomes the network's delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from sonic.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.study.records import Record

_SAME = 1.05
"""Executions whose rows differ by less are of the same size."""


@dataclass(frozen=True)
class Calibration:
    """What a request costs.

    Parameters
    ----------
    execution_s, row_s : float
        An execution, and each of its rows besides.
    handover_s : float
        Between two executions of an instance, where others wait.
    client_s, front_s : float
        Processor time of a request in the client, and in the server besides its execution.
    rest_s : float
        Of the latency of one client, what is none of these.
    rows : int
        Of a request.
    """

    execution_s: float
    row_s: float
    handover_s: float
    client_s: float
    front_s: float
    rest_s: float
    rows: int

    def tree(
        self, target: str, cores: float, *, instances: int = 1, batch: int = 0, delay_us: float = 0.0
    ) -> dict[str, Any]:
        """Return a spec of clients and one server on one machine, as a file of it would have it.

        Parameters
        ----------
        target : str
            The model.
        cores : float
            Of the machine.
        instances, batch, delay_us
            Of the model.
        """
        model = {
            "service": {"execution_s": self.execution_s, "row_s": self.row_s},
            "instances": instances,
            "max_rows": batch,
            "delay_us": delay_us,
            "handover_s": self.handover_s,
            "threads": 1,
        }
        server = {
            "with_clients": True,
            "overhead_s": self.front_s,
            "network": {"round_trip_ms": 1e3 * self.rest_s},
        }
        return {
            "target": target,
            "models": {target: model},
            "servers": [server],
            "client": {"overhead_s": self.client_s, "cores": cores},
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
        If a record is not measured, or has no statistics of the server with its processor time.
    """
    if not records:
        raise DataError("a simulation is calibrated with a record at least, given none")
    ordered = sorted(records, key=lambda record: float(record.settings.get("clients", 1)))
    few, many = _Point(ordered[0]), _Point(ordered[-1])
    waits = many.queue_s > few.execution_s  # then no instance is ever idle
    many_s, row_s, handover_s = few.execution_s, 0.0, 0.0
    if many.batch / few.batch > _SAME:
        # Of a mean execution: an instance's whole time, but no more than all the processor time of the server.
        many_s = max(many_s, min(many.taken_s if waits else inf, many.server_s * many.merged))
        row_s = max(0.0, min((many_s - few.execution_s) / (many.batch - few.batch), few.execution_s / few.batch))
    front_s = max(0.0, many.server_s - many_s / many.merged)
    if waits and not row_s:
        # Where there are cores for all, what an execution takes longer than by itself is waiting too, for a lock say.
        # Where there are not, the simulation has them wait.
        busy = many.instances + many.rate * (many.client_s + front_s)
        alone_s = many_s if busy <= ordered[-1].machine.cores else many.execution_s
        handover_s = max(0.0, many.taken_s - alone_s)
    rest_s = few.latency_s - many.client_s - front_s - few.execution_s
    return Calibration(
        execution_s=few.execution_s - row_s * few.batch,
        row_s=row_s,
        handover_s=handover_s,
        client_s=many.client_s,
        front_s=front_s,
        rest_s=max(0.0, rest_s),
        rows=few.rows,
    )


class _Point:
    """What a record says of a request; means over its windows."""

    def __init__(self, record: Record) -> None:
        windows = [window for window in record.windows if window.requests]
        servers = [window.server for window in windows if window.server is not None]
        clients = record.settings.get("clients", 1)
        where = f"record of {record.target} with {clients} clients"
        if record.status != "measured" or record.latencies is None or not windows:
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
        # Of an instance's time, by execution. All of it is taken where requests always wait.
        self.instances = int(record.settings.get("instances", 1))
        duration_s = sum(window.duration_s for window in windows)
        self.taken_s = self.instances * duration_s / executions
        self.queue_s = sum(each.queue_s * each.requests for each in servers) / served
        self.rate = served / duration_s
        self.batch = sum(each.rows for each in servers) / executions
        self.merged = served / executions
