"""All pictures that records are good for: by the settings in which they differ, and by what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError
from sonic.study import saturation
from sonic.study.models.fit import points
from sonic.study.plots.curves import MOST_MARKED, latency, lines, modules, ratios
from sonic.study.plots.shares import breakdown, heat_map, histogram
from sonic.study.plots.style import MOST_SERIES
from sonic.study.records import digits
from sonic.study.series import describe, label, parts_s, series, telling, usable, value, varying, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.study.published import Study
    from sonic.study.records import Record
    from sonic.study.series import Series

    FloatArray = NDArray[np.float64]

_SAME = {"jobs": "clients", "events_per_s_per_job": "rate_per_client", "events_per_s": "row_rate"}
"""What papers call by another name."""
_MODULE = "module_s."
_PLAIN = (False, "cpu", "none", None)


@dataclass(frozen=True)
class Picture:
    """One figure of an album.

    Parameters
    ----------
    name : str
        For a file: letters, digits and dashes; no other picture of an album has it.
    caption : str
    figure : Figure
    """

    name: str
    caption: str
    figure: Figure


def picture(
    records: Sequence[Record], x: str, y: str, by: Sequence[str] | None = None, beside: Study | None = None
) -> Picture:
    """Draw one quantity against a setting; of throughput against clients, the saturation too.

    Raises
    ------
    ConfigError
        If matplotlib, mplhep or SciPy are missing.
    DataError
        If the records do not have it, or there are more series than can be told apart.
    """
    drawn = series(records, x, y, by)
    fit_for_it = x in ("clients", "jobs") and y in ("throughput", "row_rate")
    marked = [_saturation(each) for each in drawn] if fit_for_it else []
    targets = " and ".join(dict.fromkeys(record.target for record in records))
    figure = lines(drawn, x, y, saturations=marked, beside=scans(beside, x, y), title=targets)
    said = [f"{targets}: {label(y, records)} against {label(x)}"]
    for each, found in zip(drawn, marked, strict=False):
        if found is not None and len(drawn) <= MOST_MARKED:
            which = f"{each.label}: " if len(drawn) > 1 else ""
            most = f"{digits(found.plateau, 4)}/s"
            at = (
                f"plateau {most}, 95 % of it at {found} {x}"
                if found.reached
                else f"no plateau, the last point has {most}"
            )
            said.append(f"{which}{at}")
    return Picture(_name(targets, y, x), "; ".join(said), figure)


def scans(study: Study | None, x: str, y: str) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return those published scans that have these axes, by their names."""
    if study is None:
        return {}
    found = {}
    for curve in study.curves:
        if x in (curve.x, _SAME.get(curve.x)) and y in (curve.y, _SAME.get(curve.y)):
            xs, ys = np.array(curve.points, float).T
            found[f"{curve.name} ({study.source})"] = (xs, ys)
    return found


def album(records: Sequence[Record], beside: Study | None = None) -> tuple[list[Picture], list[str]]:
    """Draw all that records hold.

    Parameters
    ----------
    records : sequence of Record
        Those that are not measured are left out.
    beside : Study, optional
        What was published, to be drawn where it has the same axes.

    Returns
    -------
    list of Picture
    list of str
        A line each on what could not be drawn, and why; one at least if there are no pictures.

    Raises
    ------
    ConfigError
        If matplotlib, mplhep or SciPy are missing.
    """
    good, _ = usable(records)
    pictures: list[Picture] = []
    left_out: list[str] = []
    for target in dict.fromkeys(record.target for record in good):
        mine = [record for record in good if record.target == target]
        for drawing in _drawings(mine, beside):
            try:
                pictures.append(drawing())
            except DataError as error:
                left_out.append(f"{target}: {error}")
    if not good:
        left_out.append(f"none of {len(records)} records was measured to its end")
    elif not pictures and not left_out:
        left_out.append("the points differ in no number, and have neither latencies nor what a server counted")
    return _apart(pictures), list(dict.fromkeys(left_out))


def _drawings(records: Sequence[Record], beside: Study | None) -> Iterator[Callable[[], Picture]]:
    names = telling(records)
    axes = [name for name in names if len(_numbers(_largest_group(records, name), name)) > 1]
    others = [name for name in names if name not in axes]
    for x in axes:
        for y in _quantities(records, x, beside):
            yield partial(picture, records, x, y, None, beside)
        if any(record.latencies for record in records):
            yield partial(_latency, records, x)
        for name in others:
            if len({record.settings.get(name) for record in records}) == 2:
                yield partial(_ratios, records, x, name)
        if _module_names(records):
            yield partial(_modules, records, x, scans(beside, x, "module_s"))
    first = next(iter(axes + others), "clients")
    fixed = _largest_group(records, first)
    if any(parts_s(record) for record in fixed):
        yield partial(_breakdown, fixed, first)
    if any(record.latencies for record in fixed):
        yield partial(_histogram, fixed)
    for x, y in combinations(axes, 2):
        group = _largest_group([each for each in records if value(each, x) and value(each, y)], x, y)
        if all(len(_numbers(group, name)) > 1 for name in (x, y)):
            yield partial(_map, group, x, y)


def _saturation(of: Series) -> saturation.Saturation | None:
    if len(of.x) < 3:
        return None
    made = points(of)
    return saturation.measured(made.clients, made.throughput, made.error)


def _quantities(records: Sequence[Record], x: str, beside: Study | None) -> list[str]:
    names = ["throughput"]
    if len({record.settings.get("rows") for record in records}) > 1 or _module_names(records):
        names.append("row_rate")
    names += [name for name in ("batch_rows", "server_cpu_us", "gpu_use") if _numbers(records, name)]
    others = [] if beside is None else [name for curve in beside.curves for name in (curve.y, _SAME.get(curve.y, ""))]
    there = [name for name in others if scans(beside, x, name) and _numbers(records, name)]
    return list(dict.fromkeys(names + there))


def _latency(records: Sequence[Record], x: str) -> Picture:
    target = records[0].target
    middle, tail = (series(records, x, name) for name in ("p50_ms", "p99_ms"))
    caption = f"{target}: latency within which half and 99 % of the requests are, against {label(x)}"
    return Picture(_name(target, "latency", x), caption, latency(middle, tail, x, title=target))


def _ratios(records: Sequence[Record], x: str, name: str) -> Picture:
    """Draw what one of two words or switches gains over the other, all else the same."""
    target = records[0].target
    # What is off, or on the CPU, is what the other is compared with.
    plain, other = sorted(
        dict.fromkeys(record.settings.get(name) for record in records), key=lambda each: each not in _PLAIN
    )
    below, above = (
        series([r for r in records if r.settings.get(name) == each], x, "throughput") for each in (plain, other)
    )
    by_label = {each.label: each for each in below}
    pairs = [(each, by_label[each.label]) for each in above if each.label in by_label]
    what = f"{target}: {word(name, other) or 'other'} over {word(name, plain) or 'plain'}"
    figure = ratios(pairs, x, "throughput / throughput", title=what)
    return Picture(_name(target, "ratio", name, x), f"{what}, in throughput, against {label(x)}", figure)


def _modules(records: Sequence[Record], x: str, beside: Mapping[str, tuple[FloatArray, FloatArray]]) -> Picture:
    group = _largest_group(records, x)
    target, title = group[0].target, _what_holds(group, x)
    names = _module_names(group)
    caption = f"{title}: time of each module in an event, against {label(x)}"
    if len(names) > MOST_SERIES:
        caption += f"; of {len(names)} modules the {MOST_SERIES} that take longest"
    figure = modules(group, names[:MOST_SERIES], x, beside=beside, title=title)
    return Picture(_name(target, "modules", x), caption, figure)


def _breakdown(records: Sequence[Record], x: str) -> Picture:
    target, title = records[0].target, _what_holds(records, x)
    figure = breakdown(records, x, title=title)
    return Picture(_name(target, "breakdown", x), f"{title}: what a mean request's time goes to", figure)


def _histogram(records: Sequence[Record]) -> Picture:
    target = records[0].target
    having = [record for record in records if record.latencies is not None]
    # Of many, those spread evenly over the order in which they come.
    chosen = [having[i] for i in np.unique(np.linspace(0, len(having) - 1, 5).astype(int))]
    names = telling(chosen)
    spread = {
        ", ".join(word(name, record.settings.get(name)) for name in names) or target: record.latencies
        for record in chosen
        if record.latencies is not None
    }
    title = _what_holds(chosen)
    return Picture(_name(target, "histogram"), f"{title}: how latencies are spread", histogram(spread, title=title))


def _map(records: Sequence[Record], x: str, y: str) -> Picture:
    title = _what_holds(records, x, y)
    name = _name(title, "map", x, y)
    return Picture(
        name, f"{title}: throughput over {label(x)} and {label(y)}", heat_map(records, x, y, "throughput", title=title)
    )


def _largest_group(records: Sequence[Record], *free: str) -> list[Record]:
    """Return the most records that differ in the free settings alone; of equally many, those that come first."""
    names = [name for name in telling(records) if name not in free]
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record.settings.get(name) for name in names), []).append(record)
    group = _latest(max(groups.values(), key=len))
    return sorted(group, key=lambda record: [each.value for name in free if (each := value(record, name))])


def _latest(records: Sequence[Record]) -> list[Record]:
    """Of records with the same settings, keep the last."""
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda each: each.started):
        found[describe(record)] = record
    return list(found.values())


def _what_holds(records: Sequence[Record], *free: str) -> str:
    first = records[0]
    but = {*free, *varying(records)}
    same = [name for name in first.settings if name in _TOLD and name not in but]
    return ", ".join([first.target, *(word(name, first.settings[name]) for name in same)])


_TOLD = (
    *("clients", "rate", "rows", "threads", "chunk_size", "protocol", "backend", "kind", "batching", "instances"),
    *("batch", "delay_us", "copies", "round_trip_ms"),
)


def _numbers(records: Sequence[Record], name: str) -> set[float]:
    return {found.value for record in records if (found := value(record, name))}


def _module_names(records: Sequence[Record]) -> list[str]:
    """Return the details that are seconds of a module for an event, those that take longest first."""
    names = dict.fromkeys(name for record in records for name in record.details if name.startswith(_MODULE))
    return sorted(names, key=lambda name: -max(record.details.get(name, 0.0) for record in records))


def _name(*words: str) -> str:
    return re.sub(r"[\W_]+", "-", "-".join(words).lower()).strip("-")


def _apart(pictures: Sequence[Picture]) -> list[Picture]:
    """Give each a name of its own, as it is a file: targets may differ in a dash alone."""
    found: dict[str, Picture] = {}
    for each in pictures:
        names = (each.name, *(f"{each.name}-{number}" for number in range(2, len(pictures) + 1)))
        name = next(name for name in names if name not in found)
        found[name] = replace(each, name=name)
    return list(found.values())
