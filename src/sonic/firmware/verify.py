"""Whether an emulator has the bits that it should, and how far they are from the network in floating point."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware import da, resources, yosys
from sonic.firmware.build import PROJECT
from sonic.firmware.bundle import read_golden
from sonic.firmware.reference import evaluate
from sonic.firmware.report import Comparison, Distance, Report
from sonic.firmware.search import multiplications
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.build import Firmware

    Floats = NDArray[np.float64]
    Blocks = Iterator[Floats]
    Emulate = Callable[[ArrayLike, int], Floats]
    Progress = Callable[[str, int, int], None]

RANDOM_ROWS = 10_000
MOST_PRODUCTS = 20_000
"""Of a row, for which da4ml takes about a minute."""
_BLOCK = 4096
"""Rows at a time, so that a million need no room."""


def verify(
    firmware: Firmware,
    rows: ArrayLike | None = None,
    *,
    random_rows: int = RANDOM_ROWS,
    seed: int = 1,
    threads: int = 1,
    synthesise: bool = False,
    progress: Progress | None = None,
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
    synthesise : bool
        Whether yosys is to say what Verilog takes, where the route writes some.
    progress : callable of (what, done, total), optional

    Raises
    ------
    ConfigError
        If a number given is not finite.
    DataError
        If the emulator cannot be loaded, or a report of a synthesis cannot be read.
    """
    given = None if rows is None else np.asarray(rows, np.float64)
    if given is not None and not np.isfinite(given).all():
        raise ConfigError("the rows to verify with are finite: firmware has no NaN")
    emulators: dict[str, Emulate] = {}
    skipped: list[str] = []
    if firmware.route == "da4ml" and not da.installed():
        skipped.append("da4ml: it is not installed, so that the reference emulates, and there is nothing to compare")
    else:
        emulators[firmware.route] = firmware.emulator()
    taken = resources.of_reports(firmware.folder / PROJECT)
    cost = firmware.cost
    if firmware.route != "da4ml":
        try:
            with _step("da4ml", progress):
                logic = _logic(firmware)
        except ConfigError as error:
            skipped.append(f"da4ml: {error}")
        else:
            emulators["da4ml"] = firmware.quantised(logic.predict)
            cost = cost or asdict(logic.cost)
    if cost:
        taken.insert(0, resources.of_da4ml(cost))
    if synthesise:
        try:
            with _step("yosys", progress):
                taken.append(_synthesise(firmware))
        except ConfigError as error:
            skipped.append(f"yosys: {error}")
    golden, kept = read_golden(firmware.folder)
    now = Comparison("reference", "golden", kept.size, *_apart(firmware.reference(golden), kept))
    comparisons = [now]
    sets = _sets(firmware, given, random_rows, seed)
    sets["golden"] = (len(golden), _cut(golden))
    first = next(iter(sets))
    measured = _Measured(firmware)
    for which, (total, blocks) in sets.items():
        looking = measured if which == first else None
        comparisons += _compare(firmware, emulators, which, total, blocks, looking, threads, progress)
    return Report(
        firmware.network.name,
        firmware.route,
        tuple(comparisons),
        Distance.of(first, measured.apart()),
        measured.outside,
        tuple(skipped),
        tuple(taken),
        firmware.versions,
        _versions(),
        measured.beyond,
    )


def _logic(firmware: Firmware) -> da.Logic:
    """Have da4ml unroll the network, which takes it hours where a layer of pixels has its products for each."""
    network = firmware.network
    products = sum(multiplications(network, layer) for layer in network.layers)
    if products > MOST_PRODUCTS:
        raise ConfigError(f"{products:,} multiplications are too many to be unrolled, {MOST_PRODUCTS:,} are not")
    return da.Logic(network, firmware.precision)


def _sets(firmware: Firmware, rows: Floats | None, random_rows: int, seed: int) -> dict[str, tuple[int, Blocks]]:
    """Return how many rows there are of each kind, and what gives them block by block."""
    number, shape = firmware.precision.input, firmware.network.shape

    def drawn(reach: float, stream: int) -> Blocks:
        random = np.random.default_rng((seed, stream))
        for start in range(0, random_rows, _BLOCK):
            count = min(_BLOCK, random_rows - start)
            yield reach * random.uniform(number.lowest, number.highest, (count, *shape))

    given = {} if rows is None else {"given": (len(rows), _cut(rows))}
    return given | {"random": (random_rows, drawn(1.0, 0)), "out of range": (random_rows, drawn(4.0, 1))}


def _cut(rows: Floats) -> Blocks:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


class _Measured:
    """Differences from float64 of rows that pass, and how much of input and output their types do not hold."""

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._apart: list[Floats] = []
        self._numbers = self._outside = 0
        self._output = firmware.precision.numbers(firmware.network)[firmware.network.output]
        self._outputs = self._beyond = 0

    def look(self, rows: Floats, fixed: Floats) -> None:
        """Take a block of rows, and what the reference gives for them."""
        exact = evaluate(self._firmware.network, None, rows)
        self._apart.append(fixed - exact)
        self._numbers += rows.size
        self._outside += rows.size - int(np.count_nonzero(self._firmware.precision.input.holds(rows)))
        self._outputs += exact.size
        # A one that is its last bit short of one, as of a sigmoid, is as good as held.
        short = np.abs(fixed - exact) <= 2.0**-self._output.fraction
        self._beyond += exact.size - int(np.count_nonzero(short | self._output.holds(exact)))

    def apart(self) -> Floats:
        return np.concatenate([each.reshape(-1) for each in self._apart]) if self._apart else np.empty(0)

    @property
    def outside(self) -> float:
        return self._outside / max(self._numbers, 1)

    @property
    def beyond(self) -> float:
        return self._beyond / max(self._outputs, 1)


def _compare(
    firmware: Firmware,
    emulators: Mapping[str, Emulate],
    which: str,
    total: int,
    blocks: Blocks,
    measured: _Measured | None,
    threads: int,
    progress: Progress | None,
) -> list[Comparison]:
    """Compare each emulator with the reference, which is computed once for all."""
    found = {name: Comparison(name, which, 0, 0, 0.0) for name in emulators}
    done = 0
    for values in blocks:
        fixed = firmware.reference(values)
        if measured is not None:
            measured.look(values, fixed)
        # As clients send them: what an emulator makes of numbers that its input's type does not hold counts as well.
        rows, expected = values.reshape(len(values), -1), fixed.reshape(len(values), -1)
        done += len(rows)
        for name, emulator in emulators.items():
            different, largest = _apart(emulator(rows, threads), expected)
            so_far = found[name]
            found[name] = Comparison(
                name,
                which,
                so_far.compared + expected.size,
                so_far.different + different,
                max(so_far.largest, largest),
            )
        if progress is not None:
            progress(f"rows {which}", done, total)
    return list(found.values())


def _apart(given: Floats, expected: Floats) -> tuple[int, float]:
    """How many numbers are not the same, and how far they are apart at most."""
    apart = np.abs(given - expected)
    return int(np.count_nonzero(given != expected)), float(apart.max(initial=0.0))


def _synthesise(firmware: Firmware) -> resources.Resources:
    top = firmware.verilog
    if top is None:
        raise ConfigError(f"the route {firmware.route} writes no Verilog, da4ml-rtl does")
    return yosys.synthesise(firmware.folder / PROJECT, top)


@contextlib.contextmanager
def _step(what: str, progress: Progress | None) -> Iterator[None]:
    """Tell of what takes its time as a whole."""
    if progress is not None:
        progress(what, 0, 1)
    yield
    if progress is not None:
        progress(what, 1, 1)


def _versions() -> dict[str, str]:
    """Versions of what verifies."""
    found = {"sonic": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return found | (da.versions() if da.installed() else {})
