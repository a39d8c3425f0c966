from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import pytest
import uproot

from sonic.errors import OutputError
from sonic.workloads.simulation.pfnano import write_pfnano

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_gives_back_the_events(tmp_path: Path, generated: ak.Array):
    file = tmp_path / "new" / "events.root"
    assert write_pfnano(file, [generated[:5], generated[5:]]) == len(generated)
    with uproot.open(file) as opened:
        tree = opened["Events"]
        for branch in generated.fields:
            assert ak.array_equal(tree[branch].array(), generated[branch]), branch
        assert tree["nJet"].array().tolist() == ak.num(generated.Jet_pt).tolist()
    assert [p.name for p in file.parent.iterdir()] == ["events.root"]


def test_no_events_leave_no_file(tmp_path: Path):
    with pytest.raises(OutputError, match="no events to write"):
        write_pfnano(tmp_path / "events.root", [])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path: Path, generated: ak.Array):
    file = tmp_path / "events.root"
    file.write_text("precious")

    def failing():
        yield generated
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_pfnano(file, failing())
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]


def test_a_place_that_cannot_be_written(tmp_path: Path, generated: ak.Array):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_pfnano(tmp_path / "file" / "events.root", [generated])
