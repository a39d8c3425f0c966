"""Tables of a study, for the terminal and for the report, and what is to be said of fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.study.records import counted, digits, written
from sonic.study.series import INCIDENTAL, value, varying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table as Grid

    from sonic.study.models.base import Value
    from sonic.study.models.fit import Fitted
    from sonic.study.records import Record
    from sonic.study.saturation import Saturation

Table = tuple[list[str], list[list[str]]]
"""Heads, and rows as wide."""

_FIGURES = {
    "throughput": "{requests}/s",
    "row_rate": "{rows}/s",
    "mean_ms": "mean (ms)",
    "p50_ms": "half within (ms)",
    "p99_ms": "99 % within (ms)",
    "queue_ms": "queue (ms)",
    "infer_ms": "inference (ms)",
    "batch_rows": "rows of a batch",
}

_ANY = "any"
"""What the points do not tell at all."""


def measured(records: Sequence[Record]) -> tuple[Table, dict[str, str]]:
    """Return a row for each record, with the settings in which they differ, and those that they share."""
    differing = varying(records)
    names = list(dict.fromkeys(name for record in records for name in record.settings))
    same = [name for name in names if name not in differing and name not in INCIDENTAL]
    shared = {name: written(records[0].settings[name]) for name in same}
    several = len({record.target for record in records}) > 1
    requests, per_row = counted(records)
    figures = {
        name: head.format(requests=requests, rows=per_row)
        for name, head in _FIGURES.items()
        if any(value(record, name) for record in records)
    }
    rows = [
        [record.target] * several
        + [written(record.settings.get(name)) for name in differing]
        + [_number(record, name) for name in figures]
        + [record.status]
        for record in records
    ]
    return (["target"] * several + differing + list(figures.values()) + ["status"], rows), shared


def fitted(fits: Sequence[Fitted]) -> Table:
    """Return a row for each fit, the best first: how good it is, where it has saturation and knee, where it fails."""
    rows = []
    for each in fits:
        at = each.worst
        off = each.predicted[at] / each.points.throughput[at] - 1
        rows.append(
            [
                each.model.name,
                f"{each.chi2:.3g}/{each.ndf}" if each.errors_known else "-",
                f"{each.aicc:.1f}" if np.isfinite(each.aicc) else "-",
                f"{each.deviation:.1%}",
                finite(each.saturation),
                finite(each.knee),
                f"{off:+.1%} at {each.points.clients[at]:g}",
            ]
        )
    return ["model", "chi2/ndf", "AICc", "off", "saturation", "knee", "worst"], rows


def parameters(fits: Sequence[Fitted]) -> Table:
    """Return the parameters of each fit, with errors and units."""
    rows = []
    for each in fits:
        for i, (name, found) in enumerate(each.parameters.items()):
            limit = ", not determined" if found.bounded else ", at its limit" if name in each.at_limit else ""
            rows.append(["" if i else each.model.name, f"{_quantity(name, found)}{limit}", each.texts[name]])
    return ["model", "parameter", "meaning"], rows


def finite(found: Value) -> str:
    """Return a number and its error, as far as there are such, or what bounds it."""
    if found.bounded:
        return _bounds(found)
    if not np.isfinite(found.value):
        return "none"
    if not np.isfinite(found.error):
        return digits(found.value)
    if found.error > 10 * abs(found.value):
        return _ANY
    return _rounded(found.value, found.error)


def verdict(fits: Sequence[Fitted], found: Saturation, x: str = "clients") -> list[str]:
    """Say of fits, the best first, whether it is any good, and how its saturation compares with the measured one.

    Throughput is against `x`: clients, or jobs.
    """
    most = f"{digits(found.plateau, 4)}/s"
    if found.reached:
        by_points = [f"plateau: {most} by the points", f"95 % of it: at {found} {x} by the points"]
    else:
        by_points = [
            f"plateau: none by the points, the last of which has {most}",
            "95 % of it: not reached by the points",
        ]
    if not fits:
        return ["not fitted", *by_points]
    first, *others = fits
    if not np.isfinite(first.aicc):
        count = len(first.points.clients)
        said = f"{first.model.name} comes closest, but {count} points are too few to tell models apart"
    else:
        near = [each.model.name for each in others if each.aicc - first.aicc < 2 and each.predicts]
        said = f"{first.model.name} fits best" + (f"; {' and '.join(near)} as well" if near else "")
    only = [f"the points only bound {each.model.name}: {bounds(each)}" for each in fits if not each.predicts]
    lines = [] if not first.predicts else [f"{said}: {first.model.text}"]
    if not first.errors_known:
        lines.append("the points have no errors (one repeat): how good a fit is cannot be told, only which is best")
    elif not first.describes:
        better = [each.model.name for each in others if each.describes]
        chi2 = f"chi2/ndf {first.chi2 / first.ndf:.3g}"
        if better:
            names = f"{' and '.join(better)} {'do' if len(better) > 1 else 'does'}"
            lines.append(f"it does not describe the points within their errors, as {names}: {chi2}")
        else:
            lines.append(
                f"none describes the points within their errors: the best has {chi2} and is {first.deviation:.1%} off"
            )
    name = first.model.name
    by_model = [f"{finite(each)} by {name}" for each in (first.capacity, first.saturation)]
    lines += [", ".join(each) for each in zip(by_points, by_model, strict=True)]
    return lines + only


def bounds(fit: Fitted) -> str:
    """Return what the points say of a fit that does not predict saturation."""
    said = [f"capacity {_bounds(fit.capacity)}/s"] if fit.capacity.bounded else []
    said = said or [_quantity(name, fit.parameters[name]) for name in fit.bounded]
    if fit.saturation.bounded:
        said.append(f"saturation {_bounds(fit.saturation)}")
    return ", ".join(said)


def shown(table: Table) -> Grid:
    """Return a table as the terminal shows it."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(*table[0], box=None, header_style="dim", padding=(0, 1, 0, 0))
    for row in table[1]:
        grid.add_row(*(Text(each) for each in row))
    return grid


def _quantity(name: str, found: Value) -> str:
    if not name.endswith("_s") or name.endswith("_per_s"):
        unit, scale, words = ("/s", 1.0, name.removesuffix("_per_s")) if name.endswith("_per_s") else ("", 1.0, name)
    else:
        size = abs(found.at_least or found.at_most or found.value)
        unit, scale = next((each for each in _TIMES if size * each[1] >= 1), _TIMES[-1])
        words = name.removesuffix("_s")
    told = _bounds(found, scale) if found.bounded else _rounded(scale * found.value, scale * found.error)
    return f"{words.replace('_', ' ')} {told} {unit}".rstrip()


_TIMES = (("s", 1.0), ("ms", 1e3), ("us", 1e6))


def _bounds(found: Value, scale: float = 1.0) -> str:
    if found.at_least is not None:
        return f">= {digits(scale * found.at_least, 4)}"
    return f"<= {digits(scale * found.at_most, 4)}" if found.at_most is not None else _ANY


def _rounded(value: float, error: float) -> str:
    """Return both to two digits of the error."""
    if not np.isfinite(error) or error <= 0:
        return digits(value, 4)
    places = max(0, 1 - int(f"{error:.1e}".partition("e")[2]))
    return f"{value:,.{places}f} +- {error:,.{places}f}"


def _number(record: Record, name: str) -> str:
    found = value(record, name)
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return digits(found.value, 4)
    return _rounded(found.value, (found.high - found.low) / 2)
