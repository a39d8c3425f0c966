from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import OutputError
from sonic.workloads.eventfile import in_blocks, listed, one_by_one, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def columns(events: list[np.ndarray]) -> dict[str, ak.Array]:
    return {"Hit": ak.zip({"x": listed(events, np.float32)})}


def test_blocks_become_one_tree(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    made = list(one_by_one(lambda random: random.normal(size=random.integers(4)), 7, 3, lambda *at: seen.append(at)))
    assert seen[-1] == ("events", 7, 7)
    assert write(tmp_path / "new" / "a.root", in_blocks(made, columns, size=3)) == 7
    with uproot.open({tmp_path / "new" / "a.root": "Events"}) as tree:
        assert tree.num_entries == 7
        assert "nHit" in tree
        assert ak.almost_equal(tree["Hit_x"].array(), listed(made, np.float32))
    again = one_by_one(lambda random: random.normal(size=random.integers(4)), 3, 3, None)
    assert all(np.array_equal(one, other) for one, other in zip(made[:3], again, strict=True))


def test_no_events_are_a_tree_of_none(tmp_path: Path) -> None:
    assert write(tmp_path / "a.root", in_blocks([], columns)) == 0
    with uproot.open({tmp_path / "a.root": "Events"}) as tree:
        assert (tree.num_entries, set(tree.keys())) == (0, {"nHit", "Hit_x"})


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, ak.Array]]:
        yield columns([np.ones(2)])
        raise ValueError("in the middle")

    (tmp_path / "a.root").write_text("what was there before")
    with pytest.raises(ValueError, match="in the middle"):
        write(tmp_path / "a.root", broken())
    assert [path.name for path in tmp_path.iterdir()] == ["a.root"]
    assert (tmp_path / "a.root").read_text() == "what was there before"
    with pytest.raises(OutputError, match="no events to write"):
        write(tmp_path / "b.root", [])
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "a.root" / "c.root", [columns([])])
