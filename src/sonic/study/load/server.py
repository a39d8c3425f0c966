"""What a server counts while there is load on it: its statistics and metrics, by difference."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
import httpx

from sonic.client.grpc import OPTIONS
from sonic.client.locality import on_loopback
from sonic.errors import DataError, InferenceError, Unavailable
from sonic.monitor.endpoint import Endpoint
from sonic.protocol import documents
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from sonic.study.load.lines import clock
from sonic.study.records import ServerWindow, executed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from sonic.client.transport import Transport
    from sonic.client.url import Address
    from sonic.monitor.rates import Scrape
    from sonic.protocol.messages import ModelStatistics

_TIMEOUT_S = 5.0
_METRICS_TIMEOUT_S = 2.0
"""Where they may be is tried, and a firewall lets one wait."""


@dataclass(frozen=True)
class Sample:
    """Counters at one moment, or two: reading them takes a while from a server that is busy.

    Parameters
    ----------
    models : tuple of ModelStatistics
        Empty where it gives none.
    cpu_s : float or None
        Of its process.
    at_s, cpu_at_s : float
        When the one and the other were read, by the clock of the machine.
    """

    models: tuple[ModelStatistics, ...]
    cpu_s: float | None = None
    at_s: float = 0.0
    cpu_at_s: float = 0.0


class ServerWatch:
    """Looks at a server's counters. Context manager.

    Its processor time is what its metrics say of its process (Sonic's do), or, for a server on this host, what the
    system says of the process that listens there, if psutil is installed.

    Parameters
    ----------
    transport : Transport
        Not closed.
    address : Address
        Where that leads.
    models : sequence of str
        Whose counters are summed.
    metrics : str
        URL of the metrics, or of any port of the server; empty: next to its port, by habit.
    pid : int, optional
        Its process on this host; else the one that listens at the address.

    Raises
    ------
    DataError, Unavailable
        If metrics are named, and are not there.
    """

    def __init__(
        self,
        transport: Transport,
        address: Address,
        models: Sequence[str],
        metrics: str = "",
        pid: int | None = None,
    ) -> None:
        self._transport = transport
        self._models = models
        self._use: list[float] = []
        self._has_gpus = False
        self._local = address.scheme == "local"  # each process of the load is its own server then
        self._endpoint = None if self._local else self._find(address, metrics)
        self._address = address
        self._pid = pid
        self._process = None
        if not self._local and self._endpoint is None:
            self._pid = listener(address) if pid is None else pid
            self._process = _process(self._pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._endpoint is not None:
            self._endpoint.close()

    def own_cores(self) -> int:
        """Return how many cores the server has that this process may not use; see :func:`own_cores`."""
        return own_cores(listener(self._address) if self._pid is None else self._pid)

    def sample(self) -> Sample | None:
        """Read the counters; None if there are none."""
        if self._local:
            return None
        models: tuple[ModelStatistics, ...] = ()
        began_s = clock()
        with suppress(InferenceError):
            models = tuple(self._transport.statistics(name, timeout_s=_TIMEOUT_S) for name in self._models)
        between_s = clock()
        cpu_s = None
        if self._endpoint is not None:
            scrape = self._scrape(self._endpoint)
            cpu_s = None if scrape is None else scrape.process_cpu_s
        elif self._process is not None:
            cpu_s = _used_s(self._process)
        if not models and cpu_s is None:
            return None
        return Sample(models, cpu_s, (began_s + between_s) / 2, (between_s + clock()) / 2)

    def look(self) -> None:
        """Read how busy the GPUs are, of which only the present is known: to be called now and then in a window."""
        if self._endpoint is not None and self._has_gpus:
            scrape = self._scrape(self._endpoint)
            if scrape is not None and (gpus := scrape.gpu_utilization):
                self._use.append(sum(gpus.values()) / len(gpus))

    def window(self, before: Sample | None, after: Sample | None) -> ServerWindow | None:
        """Return what was counted in between; None if it was not said, or the models were loaded anew meanwhile."""
        use, self._use = self._use, []
        if before is None or after is None or not (before.models and after.models):
            return None
        return window(before, after, sum(use) / len(use) if use else None)

    def _scrape(self, endpoint: Endpoint) -> Scrape | None:
        try:
            scrape = endpoint.scrape()
        except (Unavailable, DataError):
            return None
        self._has_gpus = bool(scrape.gpu_utilization)
        return scrape

    def _find(self, address: Address, metrics: str) -> Endpoint | None:
        """Find the metrics, and make sure that they are this server's: some port next to its own may be another's."""
        if not metrics and "unix" in address.scheme:
            return None
        url = metrics or f"{'https' if address.scheme == 'https' else address.scheme[:4]}://{address.where}"
        endpoint = Endpoint(url, timeout_s=_METRICS_TIMEOUT_S)
        if metrics:
            try:
                endpoint.scrape()
            except (Unavailable, DataError):
                endpoint.close()
                raise
            return endpoint
        with suppress(InferenceError, DataError):
            # If the metrics are this server's, its statistics lie between what they say before and after.
            before = _rows(endpoint)
            told = {
                name: self._transport.statistics(name, timeout_s=_TIMEOUT_S).inference_count for name in self._models
            }
            after = _rows(endpoint)
            if all(before.get(name, -1) <= rows <= after.get(name, -1) for name, rows in told.items()):
                return endpoint
        endpoint.close()
        return None


def _rows(endpoint: Endpoint) -> dict[str, float]:
    """Return the rows that each model has computed, by a server's metrics."""
    return {name: row.rows for (name, _), row in endpoint.scrape().models.items()}


def identity(address: Address) -> str:
    """Return name and version of a server, such as ``sonic 0.1``; empty if it does not say."""
    try:
        if address.scheme in ("grpc", "grpc+unix"):
            where = f"unix:{address.where}" if address.scheme == "grpc+unix" else address.where
            with grpc.insecure_channel(where, options=OPTIONS) as channel:
                stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
                told = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=_TIMEOUT_S)
        elif address.scheme in ("http", "http+unix"):
            socket = address.where if address.scheme == "http+unix" else None
            with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=_TIMEOUT_S) as client:
                answer = client.get(f"http://{'localhost' if socket else address.where}/v2")
                told = documents.server_info_from_wire(answer.content)
        else:
            return ""
    except (grpc.RpcError, httpx.HTTPError, InferenceError):
        return ""
    return f"{told.name} {told.version}".strip()


def cores_between(before: Sample | None, after: Sample | None) -> float | None:
    """Return how many cores a server kept busy between two samples, on average; None where it is not known."""
    if before is None or after is None or before.cpu_s is None or after.cpu_s is None:
        return None
    used_s, apart_s = after.cpu_s - before.cpu_s, after.cpu_at_s - before.cpu_at_s
    return used_s / apart_s if apart_s > 0 and used_s >= 0 else None  # it falls where the server was started anew


def window(before: Sample, after: Sample, gpu_use: float | None = None) -> ServerWindow | None:
    """Return the difference of two samples; None if a counter fell."""
    totals: dict[str, int] = {}
    for first, last in zip(before.models, after.models, strict=True):
        change = {
            "requests": last.success.count - first.success.count,
            "failures": last.fail.count - first.fail.count,
            "executions": last.execution_count - first.execution_count,
            "rows": last.inference_count - first.inference_count,
            "queue": last.queue.total_ns - first.queue.total_ns,
            "input": last.compute_input.total_ns - first.compute_input.total_ns,
            "infer": last.compute_infer.total_ns - first.compute_infer.total_ns,
            "output": last.compute_output.total_ns - first.compute_output.total_ns,
        }
        if min(change.values()) < 0:
            return None
        totals = {name: totals.get(name, 0) + value for name, value in change.items()}
    per_request = 1e-9 / max(totals["requests"], 1)
    duration_s, cores = after.at_s - before.at_s, cores_between(before, after)
    return ServerWindow(
        requests=totals["requests"],
        failures=totals["failures"],
        executions=totals["executions"],
        rows=totals["rows"],
        queue_s=totals["queue"] * per_request,
        input_s=totals["input"] * per_request,
        infer_s=totals["infer"] * per_request,
        output_s=totals["output"] * per_request,
        cpu_s=None if cores is None else cores * duration_s,
        gpu_use=gpu_use,
        duration_s=duration_s,
        sizes=executed(_sizes(before.models[0]), _sizes(after.models[0])) if len(after.models) == 1 else (),
    )


def _sizes(model: ModelStatistics) -> dict[int, tuple[int, float]]:
    """Return executions by their rows, and the sum of their times."""
    return {
        each.batch_size: (
            each.compute_infer.count,
            1e-9 * (each.compute_input.total_ns + each.compute_infer.total_ns + each.compute_output.total_ns),
        )
        for each in model.batches
    }


def listener(address: Address) -> int | None:
    """Find the process that listens at an address of this host; None where there is none, or it cannot be known."""
    if not on_loopback(address.scheme, address.where):
        return None
    port, unix = address.where.rpartition(":")[2], "unix" in address.scheme
    try:
        import psutil
    except ImportError:
        return None
    with suppress(psutil.Error, OSError):
        for each in psutil.net_connections("unix" if unix else "tcp"):
            here = each.laddr == address.where if unix else each.laddr and each.laddr.port == int(port)
            if here and each.pid and (unix or each.status == psutil.CONN_LISTEN):
                return int(each.pid)
    return None


def own_cores(pid: int | None) -> int:
    """Return how many cores a process of this host may use, if this process may use none of them; else 0."""
    if pid is None or not hasattr(os, "sched_getaffinity"):
        return 0
    with suppress(OSError):  # it has ended, or is another user's
        theirs = os.sched_getaffinity(pid)
        return 0 if theirs & os.sched_getaffinity(0) else len(theirs)
    return 0


def _process(pid: int | None) -> Any:
    if pid is None:
        return None
    try:
        import psutil
    except ImportError:
        return None
    with suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _used_s(process: Any) -> float | None:
    """Processor time of a process and its children."""
    import psutil

    try:
        total = 0.0
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            total += times.user + times.system
        return total
    except psutil.Error:
        return None
