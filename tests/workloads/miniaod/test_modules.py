from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.miniaod import modules


def record(columns: dict[str, Any]) -> ak.Array:
    return ak.zip({k: ak.Array(v) for k, v in columns.items()}, depth_limit=1)


def test_sums_of_candidates():
    events = record(
        {
            "PFCands_pt": [[3.0, 4.0, 5.0], []],
            "PFCands_phi": [[0.0, np.pi / 2, 0.0], []],
            "PFCands_charge": [[1, -1, 0], []],
            "PFCands_puppiWeight": [[1.0, 0.0, 0.4], []],
        }
    )
    found = modules.CandidateSums().produce(events)
    assert found["Cands_nCharged"].tolist() == [2, 0]
    assert found["Cands_nNeutral"].tolist() == [1, 0]
    assert found["Cands_sumPt"].tolist() == [12, 0]
    assert found["PlainMET_pt"].tolist() == pytest.approx([np.hypot(8, 4), 0])
    assert found["WeightedMET_pt"].tolist() == pytest.approx([5, 0])
    assert abs(found["WeightedMET_phi"][0]) == pytest.approx(np.pi)


def test_selection_of_jets():
    events = record({"Jet_pt": [[50.0, 20.0, 90.0], []], "Jet_eta": [[1.0, -2.0, 3.0], []]})
    found = modules.JetSelection().produce(events)
    assert found["Jet_taggable"].tolist() == [[True, True, False], []]
    assert found["Jet_good"].tolist() == [[True, False, False], []]
    assert found["Event_nGoodJets"].tolist() == [1, 0]
    assert found["Event_ht"].tolist() == [50, 0]


def test_b_jets_and_pairs():
    events = record(
        {
            "Jet_pt": [[60.0, 50.0, 40.0, 35.0]],
            "Jet_eta": [[0.0, 0.0, 1.0, 3.0]],
            "Jet_phi": [[0.0, np.pi, 0.5, 1.0]],
            "Jet_mass": [[0.0, 0.0, 5.0, 5.0]],
            "Jet_good": [[True, True, True, False]],
            "Jet_sonicB": [[0.991, 0.999, 0.0, 1.0]],
        }
    )
    b_jets = modules.BJets().produce(events)
    assert b_jets["BJet_pt"].tolist() == [[50, 60]]
    assert b_jets["Jet_sonicIsB"].tolist() == [[True, True, False, False]]
    dijets = modules.Dijets().produce(ak.with_field(events, b_jets["Jet_sonicIsB"], "Jet_sonicIsB"))
    assert ak.num(dijets["Dijet_mass"]).tolist() == [3]
    assert dijets["Dijet_mass"][0, 0] == pytest.approx(2 * np.sqrt(60 * 50), rel=1e-5)
    assert dijets["Dijet_deltaR"][0, 0] == pytest.approx(np.pi)
    assert dijets["Dijet_nB"].tolist() == [[2, 1, 1]]
    assert modules.TwoGoodJets().select(record({"Event_nGoodJets": [1, 2]})).tolist() == [False, True]


def test_the_cut_is_the_trained_tagger_s_working_point():
    assert 0 < modules.b_cut() < 1


def test_wide_jets_within_the_tracker():
    found = modules.WideJetSelection().produce(record({"FatJet_eta": ak.Array([[0.0, -2.5, np.nan], []])}))
    assert found["FatJet_taggable"].tolist() == [[True, False, False], []]
