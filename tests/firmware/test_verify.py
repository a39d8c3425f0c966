from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.build import build, load
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.report import to_markdown
from sonic.firmware.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware
    from sonic.firmware.network import Network


def test_all_agree(built: Firmware) -> None:
    pytest.importorskip("da4ml")
    given = np.random.default_rng(1).normal(size=(30, 6))
    seen: list[tuple[str, int, int]] = []
    report = verify(built, given, random_rows=40, progress=lambda *what: seen.append(what))
    assert report.exact
    sets = ("given", "random", "out of range", "golden")
    expected = {(name, rows) for name in ("hls4ml-quartus", "da4ml") for rows in sets} | {("reference", "golden")}
    assert {(each.emulator, each.rows) for each in report.comparisons} == expected
    assert [each.compared for each in report.comparisons][:3] == [128, 60, 60]
    distance = report.distance
    assert 0 < distance.median <= distance.high <= distance.largest
    assert (distance.rows, sum(distance.counts)) == ("given", 60)
    assert report.outside == 0
    assert seen[:2] == [("da4ml", 0, 1), ("da4ml", 1, 1)]
    assert ("rows out of range", 40, 40) in seen
    assert [each.source for each in report.resources] == ["da4ml, no registers"]
    assert {"hls4ml", "compiler"} <= set(report.built_with)
    assert {"numpy", "da4ml"} <= set(report.verified_with)


def test_a_bit_that_differs_is_seen(built: Firmware) -> None:
    layers = list(built.network.layers)
    last = layers[-1]
    layers[-1] = replace(last, bias=last.bias + 2.0**-8)  # type: ignore[attr-defined, call-arg]
    other = replace(built, network=replace(built.network, layers=tuple(layers)))
    report = verify(other, random_rows=20)
    assert not report.exact
    wrong = [each for each in report.comparisons if each.different]
    assert {each.emulator for each in wrong} == {"hls4ml-quartus", "reference"}
    assert all(each.largest > 0 for each in wrong)


def test_outputs_that_the_numbers_do_not_hold(mlp: Network, tmp_path: Path) -> None:
    pytest.importorskip("da4ml")
    rows = np.full((4, 6), 4.0)
    wide, narrow = (Precision.uniform(Fixed(16, integer)) for integer in (12, 4))
    assert not verify(build(mlp, wide, tmp_path / "wide", route="da4ml"), rows, random_rows=9).beyond
    report = verify(build(mlp, narrow, tmp_path / "narrow", route="da4ml"), rows, random_rows=9)
    assert report.exact
    assert report.beyond > 0
    assert "of the rows given" in report.advice
    assert report.advice[1:] in to_markdown(report)


def test_what_becomes_of_numbers_beyond_the_inputs_type_is_compared(
    built: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They reach the emulator as they are: one that saturates where the type wraps is another."""
    number = built.precision.input
    assert number.overflow == "WRAP"

    def saturating(firmware: Firmware) -> object:
        return lambda rows, _: firmware.reference(np.clip(rows, number.lowest, number.highest)).reshape(len(rows), -1)

    monkeypatch.setattr(type(built), "emulator", saturating)
    report = verify(built, random_rows=20)
    wrong = {each.rows for each in report.comparisons if each.different and each.emulator == built.route}
    assert wrong == {"out of range", "golden"}


def test_many_rows_come_in_blocks(built: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.firmware.verify._BLOCK", 16)
    seen: list[tuple[str, int, int]] = []
    report = verify(built, random_rows=40, progress=lambda *what: seen.append(what))
    assert report.exact
    assert [done for what, done, _ in seen if what == "rows random"] == [16, 32, 40]
    assert sum(report.distance.counts) == 80


def test_reports_of_a_synthesis_are_read_where_it_was_done(built: Firmware, tmp_path: Path) -> None:
    shutil.copytree(built.folder, tmp_path / "mlp")
    folder = tmp_path / "mlp" / "project" / "mlp_prj" / "solution1" / "syn" / "report"
    folder.mkdir(parents=True)
    text = "<profile><AreaEstimates><Resources><LUT>7</LUT><DSP>3</DSP></Resources></AreaEstimates></profile>"
    (folder / "csynth.xml").write_text(text)
    found = verify(load(tmp_path / "mlp"), random_rows=1).resources[-1]
    assert (found.luts, found.dsps, found.flip_flops) == (7, 3, None)


def test_what_cannot_be_synthesised_is_said(built: Firmware) -> None:
    report = verify(built, random_rows=1, synthesise=True)
    assert report.skipped[-1] == "yosys: the route hls4ml-quartus writes no Verilog, da4ml-rtl does"


def test_a_network_too_large_to_be_unrolled_is_not(built: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.firmware.verify.MOST_PRODUCTS", 65)
    report = verify(built, random_rows=1)
    assert report.skipped[0] == "da4ml: 70 multiplications are too many to be unrolled, 65 are not"


def test_rows_that_are_no_numbers(built: Firmware) -> None:
    with pytest.raises(ConfigError, match="are finite"):
        verify(built, np.full((2, 6), np.nan))


def test_without_da4ml_the_reference_is_not_compared_with_itself(
    mlp: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("da4ml")
    made = build(mlp, Precision.uniform(Fixed(12, 5)), tmp_path / "f", route="da4ml")
    monkeypatch.setattr("sonic.firmware.da.installed", lambda: False)
    report = verify(made, random_rows=20)
    assert [(each.emulator, each.rows) for each in report.comparisons] == [("reference", "golden")]
    assert "da4ml: it is not installed" in report.skipped[0]
    assert report.distance.rows == "random"
    assert sum(report.distance.counts) > 0
