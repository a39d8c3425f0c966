"""Emulators as shared libraries: compiled here, called with batches of rows."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.network import Network

COMPILE_S = 1800.0
"""How long a compiler may take."""
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-gnu-unique", "-w", "-pthread", "-ffp-contract=off"),
    # ap_fixed's own assertions fail where a number is rounded to a step beyond all of its bits, which it does right
    # nevertheless; and an assertion would end the process that serves.
    "-DNDEBUG",
)

BATCH = """// Rows in a batch, on several threads, through the bridge that is written beside the firmware.
#include "{name}_bridge.cpp"
#include <mutex>
#include <thread>
#include <vector>

namespace {{
void compute(double *x, double *y) {{ {call} }}

bool first_call() {{
    std::vector<double> x({inputs}), y({outputs});
    compute(x.data(), y.data());
    return true;
}}

// Streams keep parts of an image in what is static.
constexpr bool alone = {stream};
std::mutex computing;
}} // namespace

extern "C" void sonic_batch(double *x, double *y, long rows, long threads) {{
    // Tables are static, and filled by the first call: by one thread, before there are others.
    static const bool filled = first_call();
    std::unique_lock<std::mutex> lock(computing, std::defer_lock);
    if (alone) lock.lock();
    if (alone || threads < 1) threads = 1;
    if (threads > rows) threads = rows;
    auto part = [=](long first, long last) {{
        for (long row = first; row < last; row++) compute(x + row * {inputs}, y + row * {outputs});
    }};
    std::vector<std::thread> others;
    for (long i = 1; i < threads; i++) others.emplace_back(part, rows * i / threads, rows * (i + 1) / threads);
    part(0, threads > 1 ? rows / threads : rows);
    for (auto &other : others) other.join();
}}
"""

PREPARE = """
// What the host does before: one product and one sum a number, each rounded to nearest. Channels are last.
extern "C" void sonic_prepare(const double *raw, double *prepared, long rows) {{
    static const double factor[] = {{{factors}}}, shift[] = {{{shifts}}};
    for (long i = 0; i < rows * {inputs}; i++) prepared[i] = raw[i] * factor[i % {channels}] + shift[i % {channels}];
}}
"""

CONTRACT = """
// The contract by which CMS's Level-1 trigger opens emulators: hls4mlEmulatorExtras.
#include <any>

namespace hls4mlEmulator {{
class Model {{
  public:
    virtual void prepare_input(std::any input) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any result) = 0;
    virtual ~Model() = default;
}};
}} // namespace hls4mlEmulator

namespace {{
class Emulated final : public hls4mlEmulator::Model {{
    input_t x[{inputs}];
    result_t y[{outputs}];

  public:
    void prepare_input(std::any input) override {{
        const input_t *given = std::any_cast<input_t *>(input);
        std::copy(given, given + {inputs}, x);
    }}
    void predict() override {{ ::{name}(x, y); }}
    void read_result(std::any result) override {{ std::copy(y, y + {outputs}, std::any_cast<result_t *>(result)); }}
}};
}} // namespace

extern "C" hls4mlEmulator::Model *create_model() {{ return new Emulated; }}
extern "C" void destroy_model(hls4mlEmulator::Model *model) {{ delete model; }}
"""


class ToolError(ConfigError):
    """A program that is needed is not there."""


def compiler() -> str:
    """Return the C++ compiler: what ``CXX`` names, else g++ or clang++.

    Raises
    ------
    ToolError
        If there is none; says what to install.
    """
    for name in (os.environ.get("CXX", ""), "g++", "clang++"):
        if name and (found := shutil.which(name)) is not None:
            return found
    raise ToolError("there is no C++ compiler: install g++ (Debian: apt install g++), or name one by CXX")


def compiler_version() -> dict[str, str]:
    """Return what the C++ compiler says of itself; as :func:`compiler`."""
    return {"compiler": first_line(compiler(), "--version")}


def first_line(*command: str) -> str:
    """Return the first line that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout.splitlines() or [""])[0]


def run_tool(command: Sequence[str | os.PathLike[str]], folder: Path, who: str) -> subprocess.CompletedProcess[str]:
    """Run a program that may take minutes, and return how it ended and what it printed.

    Parameters
    ----------
    command : sequence of str or path
    folder : Path
        It works in.
    who : str
        It is, for the error.

    Raises
    ------
    ConfigError
        If it takes longer than :data:`COMPILE_S`.
    """
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{who} took longer than {COMPILE_S:g} s") from None


def compile_library(
    folder: Path, sources: Sequence[Path], includes: Sequence[Path], library: Path, *flags: str
) -> None:
    """Compile and link.

    Parameters
    ----------
    folder : Path
        Where the compiler works, so that no path of this machine gets into the library.
    sources, includes, library : Path
        From there: what is compiled, where headers are, and what is to be written.
    *flags : str
        More of them.

    Raises
    ------
    ConfigError
        If there is no compiler, or the sources do not compile; with its last line.
    """
    command = [
        compiler(),
        *_FLAGS,
        *flags,
        *(f"-I{folder}" for folder in includes),
        *map(str, sources),
        "-o",
        str(library),
    ]
    done = run_tool(command, folder, f"{library.name}: the compiler")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
        raise ConfigError(f"{library.name} could not be compiled: {errors[0] if errors else done.returncode}")


def compile_project(folder: Path, network: Network, writer: str, *, stream: bool = False) -> Path:
    """Compile what hls4ml has written to a library with ``sonic_batch`` and ``sonic_prepare``.

    With Vitis' numbers it has CMS's contract as well.

    Parameters
    ----------
    folder : Path
        Of the project.
    network : Network
    writer : str
        hls4ml's backend.
    stream : bool
        Whether the firmware takes them one by one.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    ConfigError
        As :func:`compile_library`.
    """
    name, inputs, outputs = network.name, network.inputs_per_row, network.outputs_per_row
    call = f"unsigned short in, out; {name}_double(x, y, in, out);" if writer == "Quartus" else f"{name}_double(x, y);"
    code = BATCH.format(name=name, call=call, inputs=inputs, outputs=outputs, stream=str(stream).lower())
    host = network.normalisation
    code += PREPARE.format(
        factors=_constants([1.0] if host is None else host.factor),
        shifts=_constants([0.0] if host is None else host.shift),
        inputs=inputs,
        channels=1 if host is None else len(host.factor),
    )
    if writer == "Vitis" and not stream:
        code += CONTRACT.format(name=name, inputs=inputs, outputs=outputs)
    (folder / "sonic_batch.cpp").write_text(code)
    firmware, library = Path("firmware"), Path(f"lib{name}.so")
    kinds = ("ap_types", "ac_types", "ac_math", "ac_simutils", "nnet_utils")
    types = [firmware / kind / under for kind in kinds for under in ("", "include")]
    sources = [Path("sonic_batch.cpp"), firmware / f"{name}.cpp"]
    compile_library(folder, sources, [Path(), firmware, *types], library)
    return folder / library


def _constants(values: Iterable[float]) -> str:
    """Write numbers with all their bits."""
    return ", ".join(float(value).hex() for value in values)


def load(file: Path) -> ctypes.CDLL:
    """Load a library, even if another one was loaded from the same place before.

    Raises
    ------
    DataError
        If it cannot be loaded, as one of another type of machine.
    """
    # By the same name the system would return the one that it has, though the file is another since.
    with tempfile.TemporaryDirectory(prefix="sonic-firmware-") as folder:
        try:
            return ctypes.CDLL(shutil.copy(file, folder))
        except OSError as error:
            raise DataError(f"{file} is no library for {platform.machine()}: {one_line(error)}") from None


def function(file: Path, name: str) -> Any:
    """Return a function of a library; as :func:`load`.

    Raises
    ------
    DataError
        If it has none of that name.
    """
    try:
        return getattr(load(file), name)
    except AttributeError as error:
        raise DataError(f"{file} is no emulator: {one_line(error)}") from None


class Library:
    """An emulator that was compiled. Thread-safe: rows are computed one by one and leave nothing behind.

    Parameters
    ----------
    file : Path
    inputs, outputs : int
        Numbers of a row.

    Raises
    ------
    DataError
        If it cannot be loaded, as one of another type of machine, or is no emulator.
    """

    def __init__(self, file: Path, inputs: int, outputs: int) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._batch = function(file, "sonic_batch")
        pointer = ctypes.POINTER(ctypes.c_double)
        self._batch.argtypes = [pointer, pointer, ctypes.c_long, ctypes.c_long]
        self._batch.restype = None

    def predict(self, rows: ArrayLike, threads: int = 1) -> NDArray[np.float64]:
        """Compute rows.

        Parameters
        ----------
        rows : float array [N, inputs]
            Finite.
        threads : int

        Returns
        -------
        float64 array [N, outputs]

        Raises
        ------
        ConfigError
            If a row has another size.
        """
        given = np.ascontiguousarray(rows, np.float64)
        if given.ndim != 2 or given.shape[1] != self.inputs:
            raise ConfigError(f"the emulator takes rows of {self.inputs} numbers, given shape {list(given.shape)}")
        made = np.empty((len(given), self.outputs))
        pointer = ctypes.POINTER(ctypes.c_double)
        self._batch(given.ctypes.data_as(pointer), made.ctypes.data_as(pointer), len(given), max(1, threads))
        return made
