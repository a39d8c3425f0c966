from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sonic.errors import DataError, OutputError
from sonic.firmware.build import build, load
from sonic.firmware.bundle import CHECKSUMS, check, pack, read_golden, unpack, write_checksums

if TYPE_CHECKING:
    from sonic.firmware.build import Firmware


def test_the_same_firmware_gives_the_same_bytes(traced: Firmware, tmp_path: Path) -> None:
    again = build(traced.network, traced.precision, tmp_path / "again", route="da4ml")
    files = [pack(folder, tmp_path / f"{n}.tar.gz") for n, folder in enumerate((traced.folder, again.folder))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_packed_predicts(built: Firmware, tmp_path: Path) -> None:
    folder = unpack(pack(built.folder, tmp_path / "mlp.tar.gz"), tmp_path / "models" / "mlp" / "1")
    rows, results = read_golden(folder)
    emulate = load(folder).emulator()
    assert np.array_equal(emulate(built.precision.input.quantise(rows), 1), results)
    done = subprocess.run(["sha256sum", "--check", "--quiet", CHECKSUMS], cwd=folder, check=False)
    assert done.returncode == 0
    for name in ("sonic_batch.cpp", "firmware/mlp.cpp"):
        assert (folder / "project" / name).is_file()


def test_distributed_arithmetic_needs_no_da4ml_to_predict(traced: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.firmware.da.installed", lambda: False)
    rows, results = read_golden(traced.folder)
    assert np.array_equal(load(traced.folder).emulator()(rows.reshape(len(rows), -1), 1), results)


def test_what_is_not_what_it_was(built: Firmware, tmp_path: Path) -> None:
    folder = tmp_path / "mlp"
    shutil.copytree(built.folder, folder)
    check(folder)
    weights = folder / "weights" / "first.weight.npy"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    for look in (check, load):
        with pytest.raises(DataError, match=r"weights/first\.weight\.npy is not what it was"):
            look(folder)
    with pytest.raises(DataError, match="is not what it was"):
        pack(folder, tmp_path / "x.tar.gz")
    weights.unlink()
    with pytest.raises(DataError, match=r"weights/first\.weight\.npy is missing"):
        load(folder)


def test_files_that_hold_none(built: Firmware, tmp_path: Path) -> None:
    packed = pack(built.folder, tmp_path / "mlp.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(packed.read_bytes()[:-2000])
    (tmp_path / "text.tar.gz").write_text("no archive")
    for file in (cut, tmp_path / "text.tar.gz"):
        with pytest.raises(DataError, match="holds no firmware"):
            unpack(file, tmp_path / "a")
    outside = tmp_path / "outside.tar.gz"
    with tarfile.open(outside, "w:gz") as tar:
        tar.add(tmp_path / "text.tar.gz", "../evil")
    with pytest.raises(DataError, match="holds no firmware"):
        unpack(outside, tmp_path / "a")
    assert not (tmp_path.parent / "evil").exists()
    with pytest.raises(DataError, match="No such file"):
        unpack(tmp_path / "nothing.tar.gz", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(OutputError, match="is there already"):
        unpack(packed, tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        pack(built.folder, tmp_path / "no" / "such.tar.gz")


@settings(max_examples=20)
@example(place=0.712890625, bit=0)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_that_is_another_is_seen(traced: Firmware, place: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(traced.folder, Path(folder) / "cnn.tar.gz")
        content = bytearray(packed.read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        packed.write_bytes(content)
        try:
            unpack(packed, Path(folder) / "cnn")
        except DataError:
            assert not (Path(folder) / "cnn").exists()
        else:  # of what says nothing about the content, as the hour
            check(Path(folder) / "cnn")


def test_checksums_that_are_no_text(traced: Firmware, tmp_path: Path) -> None:
    folder = tmp_path / "cnn"
    shutil.copytree(traced.folder, folder)
    (folder / CHECKSUMS).write_bytes(b"\xff")
    with pytest.raises(DataError, match="SHA256SUMS is not what it was"):
        check(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"route": "other"}', '"text"', "null"])
def test_a_document_that_was_written_by_somebody_else(traced: Firmware, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "cnn"
    shutil.copytree(traced.folder, folder)
    (folder / "firmware.json").write_text(text)
    write_checksums(folder)
    with pytest.raises(DataError, match="holds no firmware"):
        load(folder)
