from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.firmware.yosys import count, synthesise

if TYPE_CHECKING:
    from pathlib import Path

ADDER = (
    "module adder(input clk, input [7:0] a, b, output reg [7:0] c); always @(posedge clk) c <= a {sign} b; endmodule"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "adder.v").write_text(ADDER.format(sign="+"))
    return tmp_path


def test_cells_are_counted() -> None:
    cells = {"LUT2": 3, "LUT6": 4, "SRL16E": 1, "RAM32M": 2, "FDRE": 9, "FDSE": 1, "DSP48E2": 5, "RAMB18E2": 1}
    found = count(cells | {"RAMB36E2": 2, "CARRY4": 7, "BUFG": 1}, "yosys 1")
    assert (found.luts, found.flip_flops, found.dsps, found.brams) == (10, 10, 5, 5)


@pytest.mark.skipif(shutil.which("yosys") is None, reason="there is no native yosys; the one of PyPI starts slowly")
def test_an_adder_takes_what_it_takes(project: Path) -> None:
    found = synthesise(project, "adder")
    assert found.flip_flops == 8
    assert found.luts is not None
    assert 8 <= found.luts <= 16
    (project / "src" / "adder.v").write_text(ADDER.format(sign="nothing"))
    with pytest.raises(ConfigError, match=r"yosys cannot have adder: .*ERROR"):
        synthesise(project, "adder")


def test_a_yosys_that_says_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "yosys"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ConfigError, match="yosys says nothing of adder"):
        synthesise(project, "adder")
    silent.write_text("#!/bin/sh\necho 'ERROR: broken' >&2; exit 1\n")
    with pytest.raises(ConfigError, match="yosys cannot have adder: ERROR: broken"):
        synthesise(project, "adder")


def test_without_yosys(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(project))
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(ConfigError, match=r"there is no yosys: pip install 'sonic-hep\[synthesis\]'"):
        synthesise(project, "adder")
