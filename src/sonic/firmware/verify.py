"""Whether an emulator has the bits that it should, and how far they are from the network in floating point."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware import da
from sonic.firmware.bundle import read_golden
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.build import Firmware

    Floats = NDArray[np.float64]

RANDOM_ROWS = 10_000
_BLOCK = 4096


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
class Report:
    """What a verification found.

    Parameters
    ----------
    comparisons : tuple of Comparison
    float_median, float_95, float_largest : float
        Distance of the firmware's outputs from those in float64, of the rows given or else of the random ones.
    outside : float
        Part of the numbers given that the input's type does not hold.
    skipped : tuple of str
        Emulators that could not be had, and why.
    """

    comparisons: tuple[Comparison, ...]
    float_median: float
    float_95: float
    float_largest: float
    outside: float
    skipped: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether all bits are the same."""
        return all(not each.different for each in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self) | {"exact": self.exact}


def verify(
    firmware: Firmware,
    rows: ArrayLike | None = None,
    *,
    random_rows: int = RANDOM_ROWS,
    seed: int = 1,
    threads: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Compare the reference, the emulator, and da4ml's logic where da4ml is installed.

    Parameters
    ----------
    firmware : Firmware
    rows : float array [N, *shape of the input], optional
        Of the workload.
    random_rows : int
        Drawn evenly over what the input's type holds; as many again reach four times as far.
    seed : int
    threads : int
    progress : callable of (what, done, total), optional
    """
    random = np.random.default_rng(seed)
    shape, number = firmware.network.shape, firmware.precision.input
    sets: dict[str, Floats] = {}
    if rows is not None:
        sets["given"] = np.asarray(rows, np.float64)
    sets["random"] = random.uniform(number.lowest, number.highest, (random_rows, *shape))
    sets["out of range"] = 4 * random.uniform(number.lowest, number.highest, (random_rows, *shape))
    emulators: dict[str, Callable[[ArrayLike, int], Floats]] = {firmware.route: firmware.emulator()}
    skipped: list[str] = []
    if firmware.route != "da4ml":
        try:
            emulators["da4ml"] = da.Logic(firmware.network, firmware.precision).predict
        except ConfigError as error:
            skipped.append(f"da4ml: {error}")
    first = next(iter(sets.values()))
    sets["golden"], kept = read_golden(firmware.folder)
    distance = np.abs(firmware.reference(first) - evaluate(firmware.network, None, first))
    now = Comparison("reference", "golden", kept.size, *_apart(firmware.reference(sets["golden"]), kept))
    comparisons = [now]
    for which, values in sets.items():
        comparisons += _compare(firmware, emulators, which, values, threads, progress)
    median, high, largest = np.quantile(distance, (0.5, 0.95, 1.0)) if distance.size else (0.0, 0.0, 0.0)
    outside = 1.0 - float(np.mean(number.holds(first))) if first.size else 0.0
    return Report(tuple(comparisons), float(median), float(high), float(largest), outside, tuple(skipped))


def to_markdown(report: Report, versions: Mapping[str, str], cost: Mapping[str, float]) -> str:
    """Return a report for people to read."""
    lines = ["| emulator | rows | numbers | different | largest difference |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.emulator} | {each.rows} | {each.compared:,} | {each.different:,} | {each.largest:g} |"
        for each in report.comparisons
    ]
    lines += [
        "",
        f"All bits are those of the reference in numpy: **{'yes' if report.exact else 'no'}**.",
        f"Distance from the network in float64: median {report.float_median:.3g}, 95 % {report.float_95:.3g}, "
        f"largest {report.float_largest:.3g}.",
        f"Of the numbers given {report.outside:.2%} are outside of the input's type.",
    ]
    lines += [f"Not compared with {line}." for line in report.skipped]
    if cost:
        lines.append("Estimated: " + ", ".join(f"{name} {value:,.0f}" for name, value in cost.items()) + ".")
    lines.append("Versions: " + ", ".join(f"{name} {value}" for name, value in versions.items()) + ".")
    return "\n".join(lines) + "\n"


def _compare(
    firmware: Firmware,
    emulators: Mapping[str, Callable[[ArrayLike, int], Floats]],
    which: str,
    values: Floats,
    threads: int,
    progress: Callable[[str, int, int], None] | None,
) -> list[Comparison]:
    """Compare each emulator with the reference, which is computed once for all."""
    found = {name: Comparison(name, which, 0, 0, 0.0) for name in emulators}
    for start in range(0, len(values), _BLOCK):
        rows = firmware.precision.input.quantise(values[start : start + _BLOCK])
        expected = firmware.reference(rows).reshape(len(rows), -1)
        for name, emulator in emulators.items():
            different, largest = _apart(emulator(rows.reshape(len(rows), -1), threads), expected)
            so_far = found[name]
            found[name] = Comparison(
                name,
                which,
                so_far.compared + expected.size,
                so_far.different + different,
                max(so_far.largest, largest),
            )
            if progress is not None:
                progress(f"{name}, {which}", min(start + _BLOCK, len(values)), len(values))
    return list(found.values())


def _apart(given: Floats, expected: Floats) -> tuple[int, float]:
    """How many numbers are not the same, and how far they are apart at most."""
    apart = np.abs(given - expected)
    return int(np.count_nonzero(given != expected)), float(apart.max(initial=0.0))
