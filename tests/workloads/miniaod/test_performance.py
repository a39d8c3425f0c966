from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.framework.module import add
from sonic.workloads.miniaod.performance import (
    MissingMomentumPerformance,
    Spectra,
    TaggerPerformance,
    TauCount,
    WideTaggerPerformance,
)
from sonic.workloads.truth import WIDE_CLASSES

TAGGED = {
    "Jet_taggable": [[True, True, False], [], [True]],
    "Jet_good": [[True, True, False], [], [True]],
    "Jet_sonicB": [[0.9, 0.2, 0.99], [], [0.5]],
    "Jet_sonicCvL": [[0.1, 0.8, 0.5], [], [0.3]],
    "Jet_sonicIsB": [[True, False, False], [], [False]],
}
TRUTH = {"Jet_hadronFlavour": [[5, 4, 5], [], [0]], "Jet_btagDeepFlavB": [[0.2, 0.4, 0.1], [], [-1.0]]}


def record(columns: dict[str, list]) -> ak.Array:
    return ak.zip(columns, depth_limit=1)


def test_the_tagger_beside_what_cmssw_stored():
    module = TaggerPerformance()
    rows = module.summarize(module.analyze(record(TAGGED | TRUTH)))
    assert rows["good b jets tagged as b"] == "1 of 1, 1.00 +0.00 -0.50"
    assert rows["good light jets tagged as b"] == "0 of 1, 0.00 +0.50 -0.00"
    assert rows["AUC b against light, ParticleNet"] == "1.00 +0.00 -0.50, of only 1 b jets"
    assert rows["AUC c against light, ParticleNet"] == "1.00 +0.00 -0.50, of only 1 c jets"
    assert rows["AUC b against light, DeepFlavour (CMSSW)"] == "1.00 +0.00 -0.50, of only 1 b jets"
    assert "AUC b against light, DeepCSV (CMSSW)" not in rows


def test_sums_over_chunks_are_those_of_the_whole_and_give_numbers():
    module, rng = TaggerPerformance(), np.random.default_rng(0)
    flavour = rng.choice([0, 4, 5], (40, 5))
    score = np.clip(rng.normal(0.3 + 0.4 * (flavour == 5), 0.2), 0, 1)
    columns = {
        "Jet_taggable": flavour >= 0,
        "Jet_good": score > 0.1,
        "Jet_sonicB": score,
        "Jet_sonicCvL": score,
        "Jet_sonicIsB": score > 0.6,
    }
    columns |= {"Jet_hadronFlavour": flavour}
    events = record({name: values.tolist() for name, values in columns.items()})
    whole = module.summarize(module.analyze(events))
    parts = module.summarize(add(module.analyze(events[:13]), module.analyze(events[13:])))
    assert parts == whole
    b, light = score[flavour == 5], score[flavour == 0]
    expected = np.mean(b[:, None] > light)
    assert whole["AUC b against light, ParticleNet"] == pytest.approx(expected, abs=0.01)


def test_without_truth_there_are_no_rows():
    tagger, met = TaggerPerformance(), MissingMomentumPerformance()
    assert tagger.summarize(tagger.analyze(record(TAGGED))) == {}
    columns = {name: [1.0, 2.0] for name in met.consumes}
    assert met.summarize(met.analyze(record(columns))) == {}


def test_no_jets_of_a_flavour_are_said_so():
    module = TaggerPerformance()
    light = TAGGED | {"Jet_hadronFlavour": [[0, 0, 0], [], [0]]}
    rows = module.summarize(module.analyze(record(light)))
    assert rows["AUC b against light, ParticleNet"] == "no b jets"
    heavy = TAGGED | {"Jet_hadronFlavour": [[5, 5, 5], [], [5]]}
    assert module.summarize(module.analyze(record(heavy)))["AUC b against light, ParticleNet"] == "no light jets"
    empty = module.analyze(record(TAGGED | TRUTH)[:0])
    assert module.summarize(empty)["AUC b against light, ParticleNet"] == "no b jets"


def test_missing_momentum_beside_what_cmssw_stored():
    module, rng = MissingMomentumPerformance(), np.random.default_rng(0)
    n = 4000
    true = rng.normal(0, 50, (2, n))
    columns = {}
    for name, width in (("GenMET", 0), ("SonicMET", 10), ("PlainMET", 20), ("WeightedMET", 15), ("MET", 30)):
        x, y = true + rng.normal(0, 1, (2, n)) * width
        columns |= {f"{name}_pt": np.hypot(x, y), f"{name}_phi": np.arctan2(y, x)}
    events = ak.zip(columns, depth_limit=1)
    rows = module.summarize(add(module.analyze(events[:100]), module.analyze(events[100:])))
    widths = {label.removeprefix("MET residual (GeV), "): value for label, value in rows.items()}
    expected = {"DeepMET": 10, "plain sum": 20, "PUPPI weights": 15, "PF, corrected (CMSSW)": 30}
    assert widths == pytest.approx(expected, rel=0.05)


def test_spectra_of_no_events_and_of_some():
    module = Spectra()
    columns = {
        "Jet_pt": [[50.0, 40.0], []],
        "Jet_good": [[True, True], []],
        "Jet_sonicB": [[0.9, 0.8], []],
        "SonicMET_pt": [20.0, 30.0],
        "Event_ht": [90.0, 0.0],
        "BJet_pt": [[50.0, 40.0], []],
        "Dijet_mass": [[120.0], []],
        "Dijet_nB": [[2], []],
    }
    total = add(module.analyze(record(columns)), module.analyze(record(columns)[:0]))
    assert module.summarize(total) == {"good jets": 2, "b jets": 2, "pairs of b jets": 1}
    assert total["met"].sum() == 2


def test_the_tagger_of_wide_jets_where_the_truth_is_known():
    top, qcd, lepton = (WIDE_CLASSES.index(name) for name in ("Tbqq", "QCDb", "Tbmu"))
    columns = {
        "FatJet_taggable": [[True, True, False], [], [True, True]],
        "FatJet_sonicTvsQCD": [[0.9, 0.2, -1.0], [], [0.1, 0.5]],
        "FatJet_sonicWvsQCD": [[0.5, 0.5, -1.0], [], [0.5, 0.5]],
        "FatJet_sonicHbbvsQCD": [[0.5, 0.5, -1.0], [], [0.5, 0.5]],
    }
    module = WideTaggerPerformance()
    assert module.summarize(module.analyze(record(columns))) == {"wide jets": 4}
    truth = {"FatJet_truthClass": [[top, qcd, top], [], [lepton, -1]]}
    rows = module.summarize(module.analyze(record(columns | truth)))
    assert rows["AUC top against QCD"] == "1.00 +0.00 -0.50, of only 1 top jets"
    assert rows["AUC W against QCD"] == "no W jets"


def test_of_taus_only_their_number_and_what_the_weights_are():
    module = TauCount()
    rows = module.summarize(module.analyze(record({"TauCand_pt": [[20.0, 30.0], []]})))
    assert rows["tau candidates"] == 2
    assert "random" in str(rows["weights of DeepTau as it ships"])
