from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware import conifer
from sonic.firmware.build import build, load
from sonic.firmware.layers import Trees
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types
from sonic.firmware.synthesis import Synthesis
from sonic.firmware.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

SCORE = Fixed(10, 4)
NUMBERS = Precision(Fixed(12, 5), Types(result=SCORE, weight=Fixed(9, 4), bias=SCORE))


@pytest.fixture(scope="module")
def forest() -> Network:
    """Of three outputs, the second of which has two trees, the third none."""
    layer = Trees(
        "trees",
        ("x",),
        np.array([1, -1, 0, -1, -1, -1, 2, -1, -1]),
        np.array([0.3, 0, -1.4, 0, 0, 0, 0.7, 0, 0]),
        np.array([1, -1, 3, -1, -1, -1, 7, -1, -1]),
        np.array([2, -1, 4, -1, -1, -1, 8, -1, -1]),
        np.array([0, 1.3, 0, -2.6, 0.4, 3.3, 0, 7.2, -7.7]),
        np.array([0, 5, 6]),
        np.array([0, 1, 1]),
        np.array([0.1, -0.1, 0.5]),
    )
    return Network("forest", "x", (3,), (layer,))


def test_conifer_and_da4ml_have_the_references_bits(forest: Network, tmp_path: Path) -> None:
    for package in ("conifer", "hls4ml", "da4ml"):
        pytest.importorskip(package)
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    build(forest, NUMBERS, tmp_path / "forest", route="conifer")
    made = load(tmp_path / "forest")
    report = verify(made, random_rows=300, threads=2)
    assert report.exact
    assert {each.emulator for each in report.comparisons} == {"reference", "conifer", "da4ml"}
    assert {"conifer", "compiler"} <= set(made.versions)
    assert len(np.unique(made.reference(np.random.default_rng(1).normal(size=(50, 3)) * 2)[:, 0])) == 3
    assert (made.folder / "project" / "firmware" / "parameters.h").is_file()
    assert not list(made.folder.glob("project/*.json"))


def test_the_same_trees_give_the_same_files(forest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("conifer")
    pytest.importorskip("hls4ml")

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Later:
            return cls(2031, 2, 3, tzinfo=tz)

    def files(folder: Path) -> dict[Path, bytes]:
        conifer.write(forest, NUMBERS, Synthesis(), folder)
        return {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()}

    now = files(tmp_path / "now")
    monkeypatch.setattr(dt, "datetime", Later)
    assert files(tmp_path / "later") == now


def test_what_conifer_cannot_have(forest: Network, mlp: Network, tmp_path: Path) -> None:
    pytest.importorskip("conifer")
    pytest.importorskip("hls4ml")
    (layer,) = forest.layers
    assert isinstance(layer, Trees)
    two = replace(forest, layers=(replace(layer, start=np.zeros(2)),))
    for network, score, says in (
        (mlp, SCORE, "writes decision trees alone"),
        (forest, Fixed(10, 5), "leaves and scores of one type"),
        (forest, replace(SCORE, overflow="SAT"), "take WRAP"),
        (forest, Fixed(10, 1), "multiplies a score by 1"),
        (two, SCORE, "given 2"),
    ):
        bias = score if score.integer != 5 else SCORE
        precision = Precision(Fixed(12, 5), Types(result=score, weight=Fixed(9, 4), bias=bias))
        with pytest.raises(ConfigError, match=says):
            conifer.write(network, precision, Synthesis(), tmp_path / "forest")


def test_without_a_compiler(forest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("conifer")
    pytest.importorskip("hls4ml")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"install g\+\+ .*; the route da4ml needs none"):
        build(forest, NUMBERS, tmp_path / "forest", route="conifer")


def test_hls4ml_has_no_trees(forest: Network, tmp_path: Path) -> None:
    pytest.importorskip("hls4ml")
    with pytest.raises(ConfigError, match="take conifer, da4ml or da4ml-rtl"):
        build(forest, NUMBERS, tmp_path / "forest", route="hls4ml-vitis")


def test_without_conifer(forest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "conifer", None)
    with pytest.raises(ConfigError, match=r"pip install 'sonic-hep\[firmware,bdt\]'"):
        conifer.write(forest, NUMBERS, Synthesis(), tmp_path / "forest")
