"""From records to the points of a picture or a fit: what goes along x, what up y, what tells series apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003 - the table of quantities is made of them
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from sonic.errors import DataError
from sonic.study.histogram import quantile
from sonic.study.records import Estimate, ServerWindow, counted, server_cpu, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sonic.study.records import Record, Setting

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Points that differ in x alone, by increasing x.

    Parameters
    ----------
    label : str
        What sets it apart from its neighbours.
    x, y : float array [n]
    low, high : float array [n]
        Interval of y that covers with 95 %; nan where it is not known.
    records : tuple of Record [n]
    """

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Quantity:
    """What a record says: the axis' label, with places for what is counted, and how to get it."""

    label: str
    of: Callable[[Record], Estimate | float | None]


def server_window(record: Record) -> ServerWindow | None:
    """Return what the server counted over all windows of a record, as one; None where it does not say."""
    windows = [window for window in record.windows if window.server is not None and window.server.requests]
    parts = [window.server for window in windows if window.server is not None]
    if not parts:
        return None
    requests = sum(each.requests for each in parts)

    def mean(name: str) -> float:
        return float(sum(getattr(each, name) * each.requests for each in parts)) / requests

    cpu_s = [each.cpu_s for each in parts if each.cpu_s is not None]
    gpu_use = [each.gpu_use for each in parts if each.gpu_use is not None]
    return ServerWindow(
        requests=requests,
        failures=sum(each.failures for each in parts),
        executions=sum(each.executions for each in parts),
        rows=sum(each.rows for each in parts),
        queue_s=mean("queue_s"),
        input_s=mean("input_s"),
        infer_s=mean("infer_s"),
        output_s=mean("output_s"),
        cpu_s=sum(cpu_s) if len(cpu_s) == len(parts) else None,
        gpu_use=sum(gpu_use) / len(gpu_use) if gpu_use else None,
        duration_s=sum(window.server_duration_s for window in windows),
    )


PARTS = ("queue", "input", "infer", "output", "transfer")


def parts_s(record: Record) -> dict[str, float] | None:
    """Return what a mean request's time went to, in seconds by :data:`PARTS`.

    Transfer is all that the server does not count: both ends' work on bytes, and the way between them.
    """
    server = server_window(record)
    if server is None or record.latencies is None:
        return None
    inside = {name: float(getattr(server, f"{name}_s")) for name in PARTS[:-1]}
    return inside | {"transfer": max(0.0, record.latencies.mean_s - sum(inside.values()))}


def _mean(record: Record) -> float | None:
    return 1e3 * record.latencies.mean_s if record.latencies else None


def _latency(part: float) -> Callable[[Record], float | None]:
    return lambda record: 1e3 * quantile(record.latencies, part) if record.latencies else None


def _part(name: str) -> Callable[[Record], float | None]:
    def of(record: Record) -> float | None:
        parts = parts_s(record)
        return None if parts is None else 1e3 * parts[name]

    return of


def _batch(record: Record) -> float | None:
    server = server_window(record)
    return None if server is None else server.batch_rows


def _gpu_use(record: Record) -> float | None:
    server = server_window(record)
    return None if server is None else server.gpu_use


def _client_cpu(record: Record) -> float | None:
    requests = sum(window.requests for window in record.windows)
    return 1e6 * sum(window.client_cpu_s for window in record.windows) / requests if requests else None


def _server_cpu(record: Record) -> float | None:
    found = server_cpu(record)
    return None if found is None else 1e6 * found[0]


def _each(record: Record) -> Estimate | None:
    clients, all_of = record.settings.get("clients", record.settings.get("jobs")), record.row_rate
    if all_of is None or not isinstance(clients, int) or not clients:
        return None
    ends = [None if end is None else end / clients for end in (all_of.low, all_of.high)]
    return Estimate(all_of.value / clients, *ends)


QUANTITIES: dict[str, Quantity] = {
    "throughput": Quantity("throughput ({requests}/s)", lambda record: record.throughput),
    "row_rate": Quantity("{rows} (1/s)", lambda record: record.row_rate),
    "rate_per_client": Quantity("{rows} of each {who} (1/s)", _each),
    "mean_ms": Quantity("mean latency (ms)", _mean),
    "p50_ms": Quantity("median latency (ms)", _latency(0.5)),
    "p90_ms": Quantity("90 % of the requests within (ms)", _latency(0.9)),
    "p99_ms": Quantity("99 % of the requests within (ms)", _latency(0.99)),
    **{f"{name}_ms": Quantity(f"{name}, mean (ms)", _part(name)) for name in PARTS},
    "batch_rows": Quantity("rows of a mean execution", _batch),
    "client_cpu_us": Quantity("client's processor time (us/request)", _client_cpu),
    "server_cpu_us": Quantity("server's processor time (us/request)", _server_cpu),
    "gpu_use": Quantity("part of the time that the GPU was busy", _gpu_use),
}
"""By name; besides, whatever stands among a record's settings or details."""

INCIDENTAL = frozenset({"processes"})
"""Settings that follow from others, and tell no series apart."""

_LABELS = {
    "clients": "clients",
    "rate": "rate that was due (1/s)",
    "rows": "rows of a request",
    "round_trip_ms": "round trip (ms)",
    "bandwidth_mbps": "bandwidth (Mbit/s)",
    "delay_us": "batching delay (us)",
}


_UNITS = {"s": "s", "ms": "ms", "us": "us", "mbps": "Mbit/s"}


def label(name: str, records: Iterable[Record] = ()) -> str:
    """Return how an axis is called that shows that quantity, setting or detail, of these records."""
    if name in QUANTITIES:
        shown = list(records)
        requests, rows = counted(shown)
        who = "job" if shown and all("jobs" in record.settings for record in shown) else "client"
        return QUANTITIES[name].label.format(requests=requests, rows=rows, who=who)
    return _LABELS.get(name, name.replace("_", " "))


def value(record: Record, name: str) -> Estimate | None:
    """Return a quantity, a setting or a detail of a record; None where it has none that is a number."""
    if name in QUANTITIES:
        found: Estimate | Setting | None = QUANTITIES[name].of(record)
    else:
        found = record.settings.get(name, record.details.get(name))
    if found is None or isinstance(found, Estimate):
        return found
    if name == "bandwidth_mbps" and not found:
        return None  # no limit, which is no number on an axis
    return None if isinstance(found, bool | str) else Estimate(float(found))


def describe(record: Record) -> str:
    """Name a record by its target and settings."""
    return " ".join([record.target, *(f"{name}={written(each)}" for name, each in record.settings.items())])


def usable(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Part records into those that were measured, and a line each on those that are to be left out."""
    good = [record for record in records if record.status == "measured"]
    bad = [record for record in records if record.status != "measured"]
    return good, [f"{describe(each)}: {each.status}" + (f", {each.reason}" if each.reason else "") for each in bad]


def together(files: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Return the records of several files, to be compared.

    If a point stands in more than one of them, all get the setting ``file``, which tells them apart.

    Parameters
    ----------
    files : mapping of str to sequence of Record
        By the file's name.
    """
    points = [{describe(record) for record in records} for records in files.values()]
    if len(set().union(*points)) == sum(map(len, points)):
        return [record for records in files.values() for record in records]
    return [
        replace(record, settings={**record.settings, "file": name})
        for name, records in files.items()
        for record in records
    ]


def varying(records: Sequence[Record]) -> list[str]:
    """Return the settings in which records differ, but for :data:`INCIDENTAL`."""
    names = dict.fromkeys(name for record in records for name in record.settings if name not in INCIDENTAL)
    return [name for name in names if len({record.settings.get(name) for record in records}) > 1]


def telling(records: Sequence[Record], x: str | None = None) -> list[str]:
    """Return those of the :func:`varying` settings but x that tell records apart.

    Of several that go hand in hand (batching off and a delay of 0, on and 100), the first does; and a number that goes
    hand in hand with x does not.
    """
    kept: list[str] = []
    for name in varying(records):
        words = any(isinstance(record.settings.get(name), bool | str) for record in records)
        others = kept if x is None or words else [*kept, x]
        if name != x and not any(_hand_in_hand(records, name, other) for other in others):
            kept.append(name)
    return kept


def _hand_in_hand(records: Sequence[Record], one: str, other: str) -> bool:
    pairs = {(record.settings.get(one), record.settings.get(other)) for record in records}
    return len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs})


def where(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """Return the records that meet all conditions, each ``NAME=VALUE`` of a setting or of the target.

    Raises
    ------
    DataError
        If a condition is no such, or no record meets all.
    """
    kept = list(records)
    for condition in conditions:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise DataError(f"a condition is NAME=VALUE, given {condition!r}")
        kept = [each for each in kept if _is(each.target if name == "target" else each.settings.get(name), wanted)]
    if not kept:
        raise DataError(f"none of {len(records)} records has {' and '.join(conditions) or 'anything'}")
    return kept


def _is(setting: Setting | None, wanted: str) -> bool:
    if isinstance(setting, bool | str) or setting is None:
        return str(setting).lower() == wanted.lower()
    try:
        return float(wanted) == setting
    except ValueError:
        return False


def series(records: Sequence[Record], x: str, y: str, by: Sequence[str] | None = None) -> list[Series]:
    """Return the points of measured records, apart by target and by the settings that tell them apart.

    Parameters
    ----------
    records : sequence of Record
        Those that are not measured are left out: see :func:`usable`.
    x, y : str
        A setting, a detail, or of :data:`QUANTITIES`.
    by : sequence of str, optional
        Settings; by default those that are :func:`telling`.

    Raises
    ------
    DataError
        If no record has x and y, or several of a series have the same x and differ in another setting.
    """
    good, _ = usable(records)
    if not good:
        raise DataError(f"none of {len(records)} records was measured to its end")
    points = [(at, up, each) for each in good if (at := value(each, x)) and (up := value(each, y))]
    if not points:
        missing = next((name for name in (x, y) if not any(value(each, name) for each in good)), None)
        there = ", ".join(dict.fromkeys(name for each in good for name in (*each.settings, *each.details)))
        what = f"a number for {missing!r}" if missing else f"both {x!r} and {y!r}"
        raise DataError(f"no record has {what}: they have {there}; and there are {', '.join(QUANTITIES)}")
    chosen = [each for _, _, each in points]
    if unknown := [name for name in by or () if all(name not in each.settings for each in chosen)]:
        there = ", ".join(dict.fromkeys(name for each in chosen for name in each.settings))
        raise DataError(
            f"no record has a setting {' or '.join(map(repr, unknown))} to tell series apart: they have {there}"
        )
    names = telling(chosen, x) if by is None else list(by)
    groups: dict[tuple[object, ...], dict[float, tuple[Estimate, Record]]] = {}
    for at, up, each in points:
        key = (each.target, *(each.settings.get(name) for name in names))
        group = groups.setdefault(key, {})
        other = group.get(at.value)
        if other and (between := [name for name in varying([other[1], each]) if name != x]):
            raise DataError(f"points at {x} = {at.value:g} differ in {', '.join(between)}: tell them apart by that")
        if not other or other[1].started <= each.started:  # of the same point measured again, the last
            group[at.value] = (up, each)
    several = len({each.target for each in chosen}) > 1
    return [_series(key, names, groups[key], several) for key in _in_order(list(groups))]


def _in_order(keys: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Sort by one setting after the other: numbers by size, words as they came; a scan goes on where it was."""
    ranks: list[dict[object, float]] = []
    for column in zip(*keys, strict=True):
        numbers = [each for each in column if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(numbers) == len(column):
            ranks.append({each: each for each in numbers})
        else:
            ranks.append({each: place for place, each in enumerate(dict.fromkeys(column))})
    return sorted(keys, key=lambda key: [rank[each] for rank, each in zip(ranks, key, strict=True)])


def _series(
    key: tuple[object, ...], names: Sequence[str], group: dict[float, tuple[Estimate, Record]], several: bool
) -> Series:
    target, *settings = key
    words = [str(target)] * several + [word(name, each) for name, each in zip(names, settings, strict=True)]
    xs = sorted(group)
    ups = [group[x][0] for x in xs]
    return Series(
        label=", ".join(word for word in words if word) or str(target),
        x=np.array(xs, float),
        y=np.array([up.value for up in ups], float),
        low=np.array([np.nan if up.low is None else up.low for up in ups], float),
        high=np.array([np.nan if up.high is None else up.high for up in ups], float),
        records=tuple(group[x][1] for x in xs),
    )


def word(name: str, setting: object) -> str:
    """Return how a setting is told in a legend: ``grpc``, ``round trip 10 ms``, ``batching on``; nothing for None."""
    if setting is None:
        return ""
    if name == "bandwidth_mbps" and not setting:
        return "any bandwidth"
    if isinstance(setting, bool):
        return f"{name.replace('_', ' ')} {'on' if setting else 'off'}"
    if isinstance(setting, str):
        return setting
    stem, _, unit = name.rpartition("_")
    words, ending = (stem, f" {_UNITS[unit]}") if unit in _UNITS else (name, "")
    told = f"{setting:g}" if isinstance(setting, int | float) else str(setting)
    return f"{words.replace('_', ' ')} {told}{ending}"
