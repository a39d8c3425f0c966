from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError
from sonic.workloads.toptag.images import BRANCHES
from sonic.workloads.toptag.sample import generate, with_substructure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_makes_no_sense_is_said(tmp_path: Path):
    pytest.importorskip("pythia8mc")
    for events, share in ((0, 0.5), (3, 1.5)):
        with pytest.raises(ConfigError, match=f"given {events}, {share}"):
            generate(tmp_path / "e.root", events, seed=1, top_share=share)
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_both_processes_go_into_the_file(
    make_events: Callable[..., ak.Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("fastjet")
    asked = []

    def simulate(process: object, events: int, seed: int, block: int) -> ak.Array:
        asked.append((process.name, events, seed, block))
        made = make_events((1,) * events, seed=block)
        return ak.with_field(made, np.arange(events), "event")

    monkeypatch.setattr("sonic.workloads.toptag.sample.simulate", simulate)
    steps = []
    number = generate(tmp_path / "e.root", 110, seed=5, progress=lambda *step: steps.append(step), top_share=0.6)
    assert number == 110
    assert asked == [("tt_400", 60, 5, 0), ("qcd_400", 40, 5, 0), ("tt_400", 6, 5, 1), ("qcd_400", 4, 5, 1)]
    assert steps == [("events", 100, 110), ("events", 110, 110)]
    with uproot.open(tmp_path / "e.root") as file:
        events = file["Events"].arrays()
    assert events.event.to_list() == list(range(110))
    assert set(BRANCHES) <= set(events.fields)
    assert ak.all(events.FatJet_msoftdrop > 0)


def test_simulated_events_have_what_tagging_needs(generated: ak.Array):
    found = with_substructure(generated)
    assert set(BRANCHES) <= set(found.fields)
    assert ak.all(ak.num(found.FatJet_msoftdrop) == ak.num(found.FatJet_pt))


def test_jets_of_few_particles_have_no_substructure(make_events: Callable[..., ak.Array]):
    pytest.importorskip("fastjet")
    events = make_events((1, 1))
    events = ak.with_field(events, np.arange(2), "event")
    none = ak.with_field(events, 0 * events.PFCands_pt, "PFCands_pt")
    tau3 = np.asarray(ak.flatten(with_substructure(none).FatJet_tau3))
    assert np.isnan(tau3).all()
