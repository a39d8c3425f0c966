"""From a model to a folder with its firmware and an emulator of it."""

from __future__ import annotations

import contextlib
import json
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError, one_line
from sonic.files import appearing
from sonic.firmware import bundle, conifer, da, hls, rtl, storage
from sonic.firmware.library import Library, ToolError, compile_project, compiler_version
from sonic.firmware.numbers import Fixed
from sonic.firmware.reference import evaluate
from sonic.firmware.synthesis import Synthesis
from sonic.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision
    from sonic.firmware.synthesis import Writer

    Emulate = Callable[[ArrayLike, int], NDArray[np.float64]]

ROUTES: dict[str, Writer | None] = {
    "hls4ml-vitis": "Vitis",
    "hls4ml-quartus": "Quartus",
    "hls4ml-catapult": "Catapult",
    "da4ml": None,
    "da4ml-rtl": None,
    "conifer": None,
}
"""By name, and hls4ml's writer for those that are its."""
DOCUMENT = "firmware.json"
PROJECT = "project"
"""Folder of what synthesis takes, beneath that of the firmware."""
_LOGIC = "logic.json"


@dataclass(frozen=True, slots=True)
class Firmware:
    """Firmware that was built, and its emulator.

    Parameters
    ----------
    folder : Path
    route : str
    network : Network
    precision : Precision
    library : Path or None
        The emulator, where the route has one that is compiled.
    versions : dict of str to str
        Of what built it.
    cost : dict of str to float
        Estimated, where the route estimates it.
    formats : tuple of Fixed or None
        Of Verilog: types of input and output, as wide as the widest number of each.
    """

    folder: Path
    route: str
    network: Network
    precision: Precision
    library: Path | None
    versions: dict[str, str]
    cost: dict[str, float]
    formats: tuple[Fixed, Fixed] | None = None

    def emulator(self) -> Emulate:
        """Return what computes rows [N, numbers of a row] on so many threads, with the bits of the firmware.

        Rows are prepared and finite; what the input's type does not hold becomes what it makes of it.

        Raises
        ------
        ConfigError, DataError
            If it cannot be loaded, or da4ml gives other bits than the reference.
        """
        sizes = self.network.inputs_per_row, self.network.outputs_per_row
        if self.library is not None and self.formats is not None:
            return self.quantised(rtl.RtlLibrary(self.library, *self.formats, *sizes).predict)
        if self.library is not None:
            return Library(self.library, *sizes).predict
        # The reference has the same bits.
        if not da.installed():
            return self._by_reference
        emulate = self.quantised(da.Logic(self.network, self.precision).predict)
        _prove(self, emulate)  # da4ml may be another version than built it
        return emulate

    def quantised(self, predict: Emulate) -> Emulate:
        """Give an emulator numbers of the input's type, which it takes for granted."""
        return lambda rows, threads: predict(self.precision.input.quantise(rows), threads)

    def _by_reference(self, rows: ArrayLike, threads: int = 1) -> NDArray[np.float64]:  # noqa: ARG002 - as the others
        given = np.asarray(rows, np.float64).reshape(-1, *self.network.shape)
        return self.reference(given).reshape(len(given), self.network.outputs_per_row)

    @property
    def verilog(self) -> str | None:
        """Name of the whole one among its modules of Verilog; None if the route writes none."""
        return rtl.top(self.network.name) if self.route == "da4ml-rtl" else None

    def reference(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Return what numpy says of rows; see :func:`sonic.firmware.reference.evaluate`."""
        return evaluate(self.network, self.precision, rows)


def build(
    network: Network,
    precision: Precision,
    folder: str | os.PathLike[str],
    *,
    route: str = "hls4ml-vitis",
    synthesis: Synthesis | None = None,
    progress: Callable[[str], None] | None = None,
) -> Firmware:
    """Build firmware.

    Parameters
    ----------
    network : Network
    precision : Precision
    folder : path
        To be made.
    route : str
        One of :data:`ROUTES`.
    synthesis : Synthesis, optional
        Its writer is the route's; reuse, strategy and stream are for hls4ml's routes alone.
    progress : callable of str, optional
        Told what begins.

    Raises
    ------
    ConfigError
        If there is no such route, the network cannot have it, or a compiler or package is missing; with the routes
        that remain. If the emulator has not the reference's bits for all golden rows.
    OutputError
        If the folder is there already, or cannot be written.
    """
    if route not in ROUTES:
        raise ConfigError(f"route {route!r}: one of {', '.join(ROUTES)}")
    writer, chosen = ROUTES[route], synthesis or Synthesis()
    if writer is not None:
        chosen = replace(chosen, writer=writer)
    elif (chosen.reuse, chosen.strategy, chosen.stream) != (1, "latency", False):
        raise ConfigError(f"the route {route} has no reuse, strategy or stream: hls4ml's routes have")
    precision.check(network)
    target = Path(folder)
    said = progress or (lambda _: None)
    with appearing(target) as work:
        storage.save(network, precision, work)
        made, logic = _route(network, precision, work, route, chosen, said)
        document = {
            "route": route,
            "library": "" if made.library is None else str(made.library.relative_to(work)),
            "machine": platform.machine(),
            "versions": {"sonic": __version__} | made.versions,
            "cost": made.cost,
            "formats": [str(number) for number in made.formats or ()],
            "synthesis": None if writer is None else asdict(chosen),
        }
        (work / DOCUMENT).write_text(json.dumps(document, indent=1) + "\n")
        bundle.write_golden(network, precision, work)
        said("golden rows")
        _prove(made, made.emulator() if logic is None else made.quantised(logic.predict))
        bundle.write_checksums(work)
    return load(target)


def _prove(made: Firmware, emulate: Emulate) -> None:
    """Check that an emulator has the reference's bits for the golden rows."""
    rows, expected = bundle.read_golden(made.folder)
    given = emulate(rows.reshape(len(rows), -1), 1).reshape(expected.shape)
    wrong = np.flatnonzero((given != expected).reshape(len(rows), -1).any(axis=1))
    if len(wrong):
        others = ", ".join(name for name in ROUTES if name not in (made.route, "conifer"))
        raise ConfigError(
            f"network {made.network.name!r}: the emulator of {made.route} has not the reference's bits for "
            f"{len(wrong)} of {len(rows)} golden rows; other routes may have: {others}"
        )


def load(folder: str | os.PathLike[str]) -> Firmware:
    """Read firmware that was built.

    Raises
    ------
    DataError
        If there is none, a file is not what it was when it was built, or the emulator is of another type of machine.
    """
    at = Path(folder)
    bundle.check(at)
    network, precision = storage.load(at)
    try:
        document: dict[str, Any] = json.loads((at / DOCUMENT).read_text())
        route, library, machine = document["route"], document["library"], document["machine"]
        versions, cost = document["versions"], document["cost"]
        formats = [Fixed.parse(text) for text in document["formats"]]
        if route not in ROUTES or len(formats) not in (0, 2):
            raise ValueError(f"its route is {route!r}, with {len(formats)} formats")
    except Exception as error:
        raise DataError(f"{at} holds no firmware: {one_line(error)}") from error
    if library and machine != platform.machine():
        raise DataError(f"{at}: its emulator is for {machine}, and this is {platform.machine()}")
    return Firmware(at, route, network, precision, at / library if library else None, versions, cost, _pair(formats))


def _pair(formats: list[Fixed]) -> tuple[Fixed, Fixed] | None:
    return (formats[0], formats[1]) if formats else None


def _route(
    network: Network,
    precision: Precision,
    work: Path,
    route: str,
    chosen: Synthesis,
    said: Callable[[str], None],
) -> tuple[Firmware, da.Logic | None]:
    """Go one way; returns the logic beside the firmware where it is what emulates."""
    writer = ROUTES[route]
    project = work / PROJECT
    sizes = network.inputs_per_row, network.outputs_per_row
    if route == "conifer":
        said("conifer")
        versions = conifer.write(network, precision, chosen, project)
        said("compiler")
        with _saying_what_remains():
            library = conifer.compile_project(project, network.name, *sizes)
        return Firmware(work, route, network, precision, library, versions | compiler_version(), {}), None
    if writer is None:
        said("da4ml")
        logic = da.Logic(network, precision)
        logic.save(work / _LOGIC)
        if route == "da4ml":
            return Firmware(work, route, network, precision, None, da.versions(), asdict(logic.cost)), logic
        cost = rtl.write(logic, network.name, project, chosen.clock_ns)
        said("Verilator and compiler")
        with _saying_what_remains():
            library = rtl.compile_project(project, network.name)
        versions = da.versions() | rtl.versions() | compiler_version()
        return Firmware(work, route, network, precision, library, versions, cost, logic.formats()), None
    said(f"hls4ml, for {writer}")
    versions = hls.write(network, precision, chosen, project)
    said("compiler")
    with _saying_what_remains():
        library = compile_project(project, network, writer, stream=chosen.stream)
    return Firmware(work, route, network, precision, library, versions | compiler_version(), {}), None


@contextlib.contextmanager
def _saying_what_remains() -> Iterator[None]:
    """Say which route needs no compiler where there is none."""
    try:
        yield
    except ToolError as error:
        raise ToolError(f"{error}; the route da4ml needs none") from None
