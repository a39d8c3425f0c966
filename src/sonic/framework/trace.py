"""Timing records as a trace for Perfetto (https://ui.perfetto.dev) or chrome://tracing.

Format: the Trace Event Format, as JSON. Threads are one group of tracks, streams another; what a stream does at once,
and what it waits for, lies side by side there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sonic.framework.report import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sonic.framework.report import Record

_WORKERS, _STREAMS, _REQUESTS = 1, 2, 3


def to_trace(records: Iterable[Record], title: str = "sonic") -> bytes:
    """Encode timing records as a trace.

    Parameters
    ----------
    records : iterable of Record
    title : str
        Name of the run.

    Returns
    -------
    bytes
        JSON. Times in microseconds since the job began.
    """
    events: list[dict[str, Any]] = [
        _label(_WORKERS, f"{title}: threads"),
        _label(_STREAMS, f"{title}: streams"),
        _label(_REQUESTS, f"{title}: requests on their way"),
    ]
    workers, streams = set(), set()
    departures: list[tuple[int, int]] = []
    for number, record in enumerate(records):
        name = record.module if record.phase is Phase.RUN else f"{record.module} {record.phase}"
        args = {"chunk": record.chunk, "stream": record.stream}
        start_us, stop_us = record.start_ns / 1e3, record.stop_ns / 1e3
        shared = {"name": name, "cat": record.phase.value, "args": args}
        if record.worker >= 0:
            workers.add(record.worker)
            lasting = {"ph": "X", "pid": _WORKERS, "tid": record.worker, "ts": start_us, "dur": stop_us - start_us}
            events.append(shared | lasting)
        else:
            departures += [(record.start_ns, +1), (record.stop_ns, -1)]
        # Begin and end with an id, since what a stream does at once does not nest.
        if record.stream < 0:
            continue
        streams.add(record.stream)
        place = {"pid": _STREAMS, "tid": record.stream, "id": number}
        events.append(shared | place | {"ph": "b", "ts": start_us})
        events.append(shared | place | {"ph": "e", "ts": stop_us})
    events += [_label(_WORKERS, f"thread {i}", i) for i in sorted(workers)]
    events += [_label(_STREAMS, f"stream {i}", i) for i in sorted(streams)]
    events += _in_flight(departures)
    return msgspec.json.encode({"traceEvents": events, "displayTimeUnit": "ms"})


def _label(pid: int, name: str, tid: int | None = None) -> dict[str, Any]:
    kind = "process_name" if tid is None else "thread_name"
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid or 0, "args": {"name": name}}


def _in_flight(departures: list[tuple[int, int]]) -> list[dict[str, Any]]:
    count = 0
    counters = []
    for at_ns, change in sorted(departures):
        count += change
        counters.append(
            {"ph": "C", "name": "requests", "pid": _REQUESTS, "tid": 0, "ts": at_ns / 1e3, "args": {"requests": count}}
        )
    return counters
