from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import DataError
from sonic.firmware.network import Network, Normalisation, Recurrent, Reshape, Softmax
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types
from sonic.firmware.reference import evaluate
from sonic.firmware.storage import load, save

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_is_read(cnn: Network, mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    prepared = replace(
        mlp, name="prepared", model="pre-pared", normalisation=Normalisation(np.arange(6.0), np.full(6, 0.1))
    )
    for network in (cnn, mlp, prepared):
        folder = tmp_path / network.name
        precision = type(mixed)(mixed.input, mixed.default) if network is cnn else mixed
        save(network, precision, folder)
        again, numbers = load(folder)
        assert (again.names, again.shapes, again.transposed) == (network.names, network.shapes, network.transposed)
        assert again.model == network.model
        assert numbers == precision
        rows = np.random.default_rng(1).normal(size=(4, *network.shape))
        raw = np.moveaxis(rows, -1, 1) if network.transposed else rows
        assert np.array_equal(again.prepare(raw), network.prepare(raw))
        assert np.array_equal(evaluate(again, numbers, rows), evaluate(network, precision, rows))


def test_the_same_gives_the_same_bytes(mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(mlp, mixed, tmp_path / name)
    files = [{f.name: f.read_bytes() for f in (tmp_path / name).rglob("*") if f.is_file()} for name in ("a", "b")]
    assert files[0] == files[1]
    assert len(files[0]) == 7


def test_what_is_not_whole(mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    save(mlp, mixed, tmp_path)
    (tmp_path / "weights" / "last.bias.npy").unlink()
    with pytest.raises(DataError, match="holds no firmware"):
        load(tmp_path)
    with pytest.raises(DataError, match="holds no firmware"):
        load(tmp_path / "nothing")


def test_of_another_version(mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    save(mlp, mixed, tmp_path)
    document = tmp_path / "network.json"
    document.write_text(document.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(
        DataError, match="format 1, expected 2: it was built by another version of Sonic, build it again"
    ):
        load(tmp_path)


def test_tables_and_recurrent_networks(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    arrays = (random.normal(size=shape) for shape in ((3, 8), (2, 8), (8,), (8,)))
    layers = Recurrent("r", ("x",), "lstm", *arrays, every_step=True), Reshape("f", ("r",), (8,)), Softmax("s", ("f",))
    network = Network("n", "x", (4, 3), layers)
    precision = Precision(Fixed(12, 4), Types(table=Fixed(10, 2), table_size=256), {"s": Types(table_size=64)})
    save(network, precision, tmp_path)
    again, numbers = load(tmp_path)
    assert numbers == precision
    assert again.shapes == network.shapes
    rows = random.normal(size=(4, 4, 3))
    assert np.array_equal(evaluate(again, numbers, rows), evaluate(network, precision, rows))
