from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError, DataError, OutputError
from sonic.firmware.build import DOCUMENT, build, load
from sonic.firmware.bundle import write_checksums
from sonic.firmware.da import Logic
from sonic.firmware.hls import write
from sonic.firmware.network import Dense, Network, Pooling
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.synthesis import Synthesis

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware


def rows(firmware: Firmware, count: int = 500, scale: float = 4.0) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, *firmware.network.shape)) * scale


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_compiled_firmware_has_the_references_bits(built: Firmware, scale: float) -> None:
    given = built.precision.input.quantise(rows(built, scale=scale))
    expected = built.reference(given)
    emulate = load(built.folder).emulator()
    for threads in (1, 3):
        assert np.array_equal(emulate(given, threads), expected)
    assert emulate(given[:0], 4).shape == (0, 2)
    assert {"sonic", "hls4ml", "compiler"} == set(built.versions)
    assert json.loads((built.folder / DOCUMENT).read_text())["synthesis"]["writer"] == "Quartus"


def test_distributed_arithmetic_has_them_too(traced: Firmware) -> None:
    given = traced.precision.input.quantise(rows(traced, 200))
    emulate = load(traced.folder).emulator()
    assert np.array_equal(emulate(given, 1), traced.reference(given))
    assert emulate(given[:0], 1).shape == (0, 2)
    assert traced.cost["luts"] > 100


def test_numbers_become_those_of_the_inputs_type_first(mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    pytest.importorskip("da4ml")
    precision = replace(mixed, input=Fixed(8, 4, rounding="RND", overflow="SAT"))
    made = build(mlp, precision, tmp_path / "n", route="da4ml")
    wide = rows(made, 200, 30.0)
    assert np.array_equal(made.emulator()(wide, 1), made.reference(wide))


def test_an_emulator_that_lies_is_neither_built_nor_loaded(
    mlp: Network, mixed: Precision, traced: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Logic.predict

    def lying(logic: Logic, given: np.ndarray, threads: int = 1) -> np.ndarray:
        made = honest(logic, given, threads)
        made[[3, 7], -1] += mixed.default.result.step
        return made

    monkeypatch.setattr(Logic, "predict", lying)
    with pytest.raises(
        ConfigError, match=r"'mlp': the emulator of da4ml has not .* for 2 of 64 golden rows; .* hls4ml-"
    ):
        build(mlp, mixed, tmp_path / "lies", route="da4ml")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="'cnn': the emulator of da4ml has not"):
        load(traced.folder).emulator()


def test_a_library_that_lies_is_not_built(built: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another network's."""
    first, library = built.network.layers[0], built.library
    assert isinstance(first, Dense)
    assert library is not None
    network = replace(built.network, layers=(replace(first, bias=first.bias + 1.0), *built.network.layers[1:]))
    monkeypatch.setattr("sonic.firmware.build.hls.write", lambda *given: given[-1].mkdir() or {})
    monkeypatch.setattr("sonic.firmware.build.compile_project", lambda at, *_, **__: shutil.copy(library, at / "n.so"))
    with pytest.raises(ConfigError, match=r"the emulator of hls4ml-quartus has not .* of 64 golden rows"):
        build(network, built.precision, tmp_path / "lies", route="hls4ml-quartus")


def test_the_emulator_takes_rows_of_one_size(built: Firmware) -> None:
    with pytest.raises(ConfigError, match="takes rows of 6 numbers, given shape"):
        built.emulator()(np.zeros((3, 5)), 1)


def test_what_cannot_be_built(mlp: Network, mixed: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="route 'vhdl': one of hls4ml-vitis"):
        build(mlp, mixed, tmp_path / "a", route="vhdl")
    for shared in (Synthesis(reuse=4), Synthesis(strategy="resource"), Synthesis(stream=True)):
        with pytest.raises(ConfigError, match="the route da4ml has no reuse, strategy or stream"):
            build(mlp, mixed, tmp_path / "a", route="da4ml", synthesis=shared)
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match="is there already"):
        build(mlp, mixed, tmp_path / "b")
    means = Network("n", "x", (4, 1), (Pooling("p", ("x",), "average", (2,), (2,)),))
    pytest.importorskip("hls4ml")
    for writer in ("Quartus", "Catapult"):
        with pytest.raises(ConfigError, match=f"{writer} rounds means towards zero"):
            write(means, Precision(), Synthesis(writer=writer), tmp_path / "c")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"install g\+\+ .*; the route da4ml needs none"):
        build(mlp, mixed, tmp_path / "d")
    assert not list(tmp_path.glob("*d*"))


def test_what_cannot_be_loaded(built: Firmware, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no firmware"):
        load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(built.folder, copy)
    document = json.loads((copy / DOCUMENT).read_text())
    (copy / DOCUMENT).write_text(json.dumps(document | {"machine": "vax"}))
    write_checksums(copy)
    with pytest.raises(DataError, match="its emulator is for vax"):
        load(copy)
    (copy / DOCUMENT).write_text(json.dumps(document))
    (copy / document["library"]).write_bytes(b"no library")
    write_checksums(copy)
    with pytest.raises(DataError, match="is no library for"):
        load(copy).emulator()
