"""What a verification of firmware found, and how it is told: on the console, as JSON, and as Markdown with pictures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, OutputError, one_line
from sonic.files import replacing
from sonic.firmware import plots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from sonic.firmware.resources import Resources
    from sonic.firmware.search import Curve

COMPARED = ("emulator", "rows", "numbers", "different", "largest difference")
"""What stands above :func:`compared_rows`."""
_OCTAVES = 12
_BINS_PER_OCTAVE = 4
_WIDTH = 40
_COLUMNS = {
    "luts": "LUT",
    "flip_flops": "FF",
    "dsps": "DSP",
    "brams": "BRAM18",
    "latency_cycles": "latency",
    "interval_cycles": "interval",
    "clock_ns": "clock",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One emulator on one set of rows.

    Parameters
    ----------
    emulator : str
    rows : str
        Which: ``given``, ``random``, ``out of range``, or the ``golden`` ones that were kept when it was built.
    compared : int
        Numbers.
    different : int
        Of them, those whose bits are not the reference's.
    largest : float
        Difference among those.
    """

    emulator: str
    rows: str
    compared: int
    different: int
    largest: float


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the outputs of firmware are from the network in float64.

    Parameters
    ----------
    rows : str
        Which.
    median, high, largest : float
        Absolute; `high` is that of 95 %.
    edges : tuple of float
        Of a histogram of the absolute distance, four to a factor of two; empty if there is none.
    counts : tuple of int
        What is below the first edge, and what is between each and the next.
    """

    rows: str
    median: float
    high: float
    largest: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, rows: str, apart: ArrayLike) -> Distance:
        """Summarise differences."""
        distance = np.abs(np.asarray(apart, np.float64)).reshape(-1)
        median, high, largest = np.quantile(distance, (0.5, 0.95, 1.0)) if distance.size else (0.0, 0.0, 0.0)
        if not largest:
            return cls(rows, 0.0, 0.0, 0.0, (), (distance.size,))
        steps = np.arange(-_OCTAVES * _BINS_PER_OCTAVE, 1) / _BINS_PER_OCTAVE
        edges = float(largest) * 2.0**steps
        counts, _ = np.histogram(distance, np.concatenate(([0.0], edges)))
        return cls(
            rows, float(median), float(high), float(largest), tuple(edges.tolist()), tuple(map(int, counts.tolist()))
        )

    def picture(self) -> Figure:
        """Draw the histogram.

        Raises
        ------
        ConfigError
            If matplotlib is missing, or there is no distance.
        """
        if not self.edges:
            raise ConfigError(f"there is no distance to draw: all {self.counts[0]:,} outputs are float64's")
        return plots.distances(self.edges, self.counts, {"median": self.median, "95 %": self.high}, self.rows)

    def bars(self) -> list[str]:
        """Return the histogram as lines of text, a factor of two each."""
        if not self.edges:
            return [f"none: all {self.counts[0]:,} are the same"]
        counts = [self.counts[0]]
        counts += [sum(self.counts[n : n + _BINS_PER_OCTAVE]) for n in range(1, len(self.counts), _BINS_PER_OCTAVE)]
        edges = self.edges[::_BINS_PER_OCTAVE]
        names = [f"below {edges[0]:.3g}"] + [f"to {edge:.3g}" for edge in edges[1:]]
        most = max(counts)
        return [
            f"{name:>15} {count:>11,} {'█' * -(-_WIDTH * count // most)}".rstrip()
            for name, count in zip(names, counts, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found.

    Parameters
    ----------
    network, route : str
    comparisons : tuple of Comparison
    distance : Distance
        Of the rows given, or else of the random ones.
    outside : float
        Part of the numbers given that the input's type does not hold.
    skipped : tuple of str
        What could not be compared or synthesised, and why.
    resources : tuple of Resources
    built_with, verified_with : dict of str to str
        Versions.
    beyond : float
        Part of the outputs in float64 that the output's type does not hold, not even but for its last bit.
    """

    network: str
    route: str
    comparisons: tuple[Comparison, ...]
    distance: Distance
    outside: float
    skipped: tuple[str, ...]
    resources: tuple[Resources, ...]
    built_with: Mapping[str, str]
    verified_with: Mapping[str, str]
    beyond: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether all bits are the same."""
        return all(not each.different for each in self.comparisons)

    @property
    def advice(self) -> str:
        """What to do about outputs that the numbers do not hold; empty where they hold all."""
        if not self.beyond:
            return ""
        return (
            f"of the rows {self.distance.rows}, {self.beyond:.2%} of the outputs in float64 are beyond the output's "
            "type: their bits are exact and their values are not; `sonic firmware search` finds numbers that hold them"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self) | {"exact": self.exact}


def write(report: Report, file: Path, curve: Curve | None = None) -> list[Path]:
    """Write a report: Markdown if the file ends in ``.md``, with its pictures beside it, else JSON.

    Parameters
    ----------
    report : Report
    file : Path
    curve : Curve, optional
        What a search of its numbers has found, for one more picture.

    Returns
    -------
    list of Path
        Files written. Without matplotlib there are no pictures, and the histogram is text.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    pictures = {} if file.suffix != ".md" else _draw(report, file, curve)
    with replacing(file) as part:
        if file.suffix == ".md":
            part.write_text(to_markdown(report, {title: each.name for title, each in pictures.items()}))
        else:
            part.write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    return [file, *pictures.values()]


def _draw(report: Report, file: Path, curve: Curve | None) -> dict[str, Path]:
    try:
        figures = {"distance": report.distance.picture()} if report.distance.edges else {}
        if curve is not None:
            figures["cost"] = plots.cost_of_error(curve)
    except ConfigError:  # no matplotlib
        return {}
    pictures = {title: file.with_name(f"{file.stem}-{title}.png") for title in figures}
    for title, picture in pictures.items():
        save(figures[title], picture)
    return pictures


def save(figure: Figure, file: Path) -> None:
    """Write a picture.

    Raises
    ------
    OutputError
        If it cannot be written, or its name says no format.
    """
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise OutputError(f"{file} could not be written: {one_line(error)}") from error


def to_markdown(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """Return a report for people to read.

    Parameters
    ----------
    report : Report
    pictures : mapping of str to str, optional
        Files by what they show: ``distance``, ``cost``.
    """
    pictures = pictures or {}
    distance = report.distance
    lines = [
        f"# Firmware of {report.network}, by {report.route}",
        "",
        *_table(COMPARED, compared_rows(report.comparisons)),
        "",
        f"All bits are those of the reference in numpy: **{'yes' if report.exact else 'no'}**.",
        *(f"Without {line}." for line in report.skipped),
        "",
        "## Distance from the network in float64",
        "",
        f"Of the rows {distance.rows}: median {distance.median:.3g}, 95 % {distance.high:.3g}, "
        f"largest {distance.largest:.3g}. Of their numbers {report.outside:.2%} are outside of the input's type.",
        "",
        *([f"{report.advice[0].upper()}{report.advice[1:]}.", ""] if report.advice else ()),
    ]
    if "distance" in pictures:
        lines += [f"![Distance from the network in float64]({pictures['distance']})", ""]
    else:
        lines += ["```text", *distance.bars(), "```", ""]
    if "cost" in pictures:
        lines += [f"![Error against cost, as the search found it]({pictures['cost']})", ""]
    if report.resources:
        lines += ["## Resources", "", *_table(("", *_COLUMNS.values()), resource_rows(report.resources)), ""]
        lines += ["Latency and interval in cycles, or without registers in adders; BRAM18: memories of 18 kbit.", ""]
    lines += ["## Versions", "", *_table(("", "built with", "verified with"), _versions(report))]
    return "\n".join(lines) + "\n"


def compared_rows(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """Return a row of text for each, beneath :data:`COMPARED`."""
    return [
        (each.emulator, each.rows, f"{each.compared:,}", f"{each.different:,}", f"{each.largest:g}")
        for each in comparisons
    ]


def resource_rows(resources: Sequence[Resources]) -> list[tuple[str, ...]]:
    """Return a row of text for each, in the order of :data:`Resources`' fields; a dash where nobody says."""
    return [
        (each.source, *(_number(getattr(each, name), "" if name != "clock_ns" else " ns") for name in _COLUMNS))
        for each in resources
    ]


def resource_columns() -> tuple[str, ...]:
    """Return what stands above :func:`resource_rows`."""
    return ("resources", *_COLUMNS.values())


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + unit


def _versions(report: Report) -> list[tuple[str, ...]]:
    names = sorted({*report.built_with, *report.verified_with})
    return [(name, report.built_with.get(name, "-"), report.verified_with.get(name, "-")) for name in names]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]
