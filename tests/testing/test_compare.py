from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.testing.compare import differences

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path, **branches: ak.Array | np.ndarray) -> Path:
    columns = {name: ak.Array(values) for name, values in branches.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: column.type.content for name, column in columns.items()})
        file["Events"].extend(columns)
    return path


def test_equal_files_do_not_differ(tmp_path: Path) -> None:
    branches = {"a": np.array([1.0, np.nan, -0.0]), "Jet_pt": ak.Array([[1.0, 2.0], [], [3.0]])}
    assert differences(_write(tmp_path / "a.root", **branches), _write(tmp_path / "b.root", **branches)) == []


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"a": np.array([1.0, 2.0])}, "3 events against 2"),
        ({"a": np.array([1.0, 2.0, np.nextafter(3.0, 4.0)])}, "branch a: 1 of 3 values differ, the first"),
        ({"a": np.array([1, 2, 3])}, "branch a: type"),
        ({"b": np.array([1.0, 2.0, 3.0])}, "is in one file only"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, other: dict[str, object], complaint: str) -> None:
    mine = _write(tmp_path / "a.root", a=np.array([1.0, 2.0, 3.0]))
    found = differences(mine, _write(tmp_path / "b.root", **other))
    assert complaint in found[0]


def test_signs_of_zero_and_lengths_of_lists_count(tmp_path: Path) -> None:
    plus = _write(tmp_path / "a.root", x=np.array([0.0]), Jet_pt=ak.Array([[1.0]]))
    minus = _write(tmp_path / "b.root", x=np.array([-0.0]), Jet_pt=ak.Array([[1.0, 2.0]]))
    found = differences(plus, minus)
    assert any(line.startswith("branch x: 1 of 1") for line in found)
    assert any("Jet_pt" in line for line in found)
