from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

pytest.importorskip("pythia8mc")
pytest.importorskip("fastjet")

from sonic.workloads.features import JET_BRANCHES, MET_BRANCHES, TAU_BRANCHES, WIDE_JET_BRANCHES
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import blocks, simulate
from sonic.workloads.truth import TRUTH_BRANCHES, WIDE_CLASSES


def test_events_have_every_branch_that_the_job_reads(generated: ak.Array):
    read = {*JET_BRANCHES, *MET_BRANCHES, *TAU_BRANCHES, *WIDE_JET_BRANCHES, *TRUTH_BRANCHES}
    assert read <= set(generated.fields)


def test_wide_jets_and_what_they_hold(boosted: ak.Array):
    classes = np.asarray(ak.flatten(boosted.FatJet_truthClass))
    assert len(classes) >= 6
    assert -1 <= classes.min() <= classes.max() < len(WIDE_CLASSES)
    assert any(WIDE_CLASSES[i].startswith("T") for i in classes[classes >= 0])
    assert ak.all(boosted.FatJet_pt > 170)
    links = {name: boosted[f"FatJetPFCands_{name}"] for name in ("jetIdx", "pFCandsIdx")}
    weights = boosted.PFCands_puppiWeight[links["pFCandsIdx"]]
    assert ak.all(weights > 0)
    hardest = links["jetIdx"] == 0
    px, py = (
        ak.sum(
            (weights * boosted.PFCands_pt[links["pFCandsIdx"]] * turn(boosted.PFCands_phi[links["pFCandsIdx"]]))[
                hardest
            ],
            axis=1,
        )
        for turn in (np.cos, np.sin)
    )
    there = np.asarray(ak.num(boosted.FatJet_pt) > 0)
    first = np.asarray(ak.firsts(boosted.FatJet_pt)[there])
    assert np.asarray(np.hypot(px, py))[there] == pytest.approx(first, rel=1e-3)


def test_links_point_at_what_they_link(generated: ak.Array):
    for collection, index, other in (("JetPFCands", "pFCandsIdx", "PFCands_pt"), ("JetSVs", "sVIdx", "SV_pt")):
        assert ak.all(generated[f"{collection}_{index}"] < ak.num(generated[other]))
        assert ak.all(generated[f"{collection}_jetIdx"] < ak.num(generated.Jet_pt))
    first = generated.JetPFCands_jetIdx == 0
    members = generated.JetPFCands_pFCandsIdx[first]
    raw = (1 - generated.Jet_rawFactor[:, 0]) * generated.Jet_pt[:, 0]
    x = ak.sum((generated.PFCands_pt * np.cos(generated.PFCands_phi))[members], axis=1)
    y = ak.sum((generated.PFCands_pt * np.sin(generated.PFCands_phi))[members], axis=1)
    assert np.asarray(np.hypot(x, y)) == pytest.approx(np.asarray(raw), rel=1e-4)
    assert ak.all(ak.sum(first, axis=1) == generated.Jet_nConstituents[:, 0])


def test_missing_momentum_is_that_of_the_candidates(generated: ak.Array):
    x = -ak.sum(generated.PFCands_pt * np.cos(generated.PFCands_phi), axis=1)
    assert np.asarray(x) == pytest.approx(np.asarray(generated.RawMET_pt * np.cos(generated.RawMET_phi)), abs=0.05)
    assert 500 < ak.mean(ak.num(generated.PFCands_pt)) < 4000


def test_a_block_depends_on_seed_process_and_number_alone(generated: ak.Array):
    again = simulate(find("tt"), 12, seed=1)
    assert ak.array_equal(again, generated)
    assert not ak.array_equal(simulate(find("tt"), 12, seed=1, block=1).PFCands_pt, generated.PFCands_pt)


def test_any_number_of_events_in_blocks():
    found = list(blocks(find("qcd_80"), 5, seed=3, block_events=3))
    assert [len(block) for block in found] == [3, 2]
    assert len({int(e) for block in found for e in block.event}) == 5
    assert ak.all(found[0].GenMET_pt < 40)
