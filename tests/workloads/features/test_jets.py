from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.features import (
    JET_BRANCHES,
    MAX_PARTICLES,
    MET_BRANCHES,
    PF_FEATURES,
    SV_FEATURES,
    WIDE_MAX_PARTICLES,
    WIDE_PF_FEATURES,
    jet_inputs,
    wide_jet_inputs,
)
from sonic.workloads.features import jets as jet_features

_PF = {name.removeprefix("PFCands_") for name in (*JET_BRANCHES, *MET_BRANCHES) if name.startswith("PFCands_")}
_SV = {name.removeprefix("SV_") for name in JET_BRANCHES if name.startswith("SV_")}
_NEUTRAL = {
    "pt": 1.0,
    "mass": 0.0,
    "charge": 0,
    "pdgId": 22,
    "puppiWeight": 1.0,
    "pvAssocQuality": 7,
    "lostInnerHits": -1,
    "trkChi2": -1.0,
    "trkQuality": 0,
    "d0": -1.0,
    "d0Err": -1.0,
    "dz": -1.0,
    "dzErr": -1.0,
}
_TRACK = _NEUTRAL | {"charge": 1, "pdgId": 211, "mass": 0.13957, "trkQuality": 5, "trkChi2": 1.0}
_TRACK |= {"d0": 0.01, "d0Err": 0.002, "dz": -0.02, "dzErr": 0.004}


def event(
    jets: list[tuple[float, float]],
    candidates: list[dict[str, Any]],
    links: list[tuple[int, int]],
    vertices: list[dict[str, Any]] = [],  # noqa: B006 - only read
    sv_links: list[tuple[int, int]] = [],  # noqa: B006
) -> dict[str, list[Any]]:
    filled = [_NEUTRAL | c for c in candidates]
    columns = {"Jet_eta": [j[0] for j in jets], "Jet_phi": [j[1] for j in jets]}
    columns |= {f"PFCands_{name}": [c[name] for c in filled] for name in _PF}
    columns |= {f"SV_{name}": [v[name] for v in vertices] for name in _SV}
    for collection, pairs, other in (("JetPFCands", links, "pFCandsIdx"), ("JetSVs", sv_links, "sVIdx")):
        columns[f"{collection}_jetIdx"] = [p[0] for p in pairs]
        columns[f"{collection}_{other}"] = [p[1] for p in pairs]
    return columns


def array(*events: dict[str, list[Any]]) -> ak.Array:
    """Jagged columns of numbers, also where there are none."""
    names = events[0].keys() if events else {*event([], [], [])}
    columns = {name: ak.values_astype(ak.Array([e[name] for e in events] + [[0]]), np.float64)[:-1] for name in names}
    return ak.zip(columns, depth_limit=1)


def feature(inputs: dict[str, np.ndarray], name: str, jet: int = 0, point: int = 0) -> float:
    return float(inputs["pf_features"][jet, PF_FEATURES.index(name), point])


def test_a_track_s_features_by_hand():
    track = _TRACK | {"pt": 10.0, "eta": -1.1, "phi": 0.1}
    inputs = jet_inputs(array(event([(-1.0, 0.0)], [track], [(0, 0)])))
    assert feature(inputs, "log_pt") == pytest.approx(np.log(10.0))
    assert feature(inputs, "eta_rel") == pytest.approx(0.1)  # mirrored with the jet
    assert feature(inputs, "phi_rel") == pytest.approx(0.1)
    assert feature(inputs, "dxy_significance") == pytest.approx(np.arcsinh(5.0))
    assert feature(inputs, "dz") == pytest.approx(np.arcsinh(-0.02 / 50e-4), rel=1e-5)
    assert inputs["pf_points"][0, :, 0] == pytest.approx([0.1, 0.1])
    # |r|^2 = d0^2 + dz^2 sin^2(theta); positive, as the track comes nearest in front of the vertex.
    ip3d = np.sqrt(0.01**2 + (0.02 / np.cosh(1.1)) ** 2)
    assert abs(feature(inputs, "btag_ip3d")) == pytest.approx(np.arcsinh(ip3d / 50e-4), rel=1e-5)
    assert inputs["pf_mask"].sum() == 1


@pytest.mark.parametrize("d0", [-0.1, 0.1])
@pytest.mark.parametrize("phi", [np.pi / 2 - 0.3, np.pi / 2 + 0.3])
def test_the_impact_parameter_is_positive_if_the_track_crosses_the_jet_in_front_of_the_vertex(phi: float, d0: float):
    track = _TRACK | {"pt": 10.0, "eta": 0.0, "phi": phi, "d0": d0, "dz": 0.0}
    inputs = jet_inputs(array(event([(0.0, np.pi / 2)], [track], [(0, 0)])))  # the jet goes along y
    x, y = -d0 * np.sin(phi), d0 * np.cos(phi)
    crosses_at = y - x * np.tan(phi)
    assert np.sign(feature(inputs, "btag_ip3d")) == np.sign(crosses_at)
    # The sine of the angle to the jet, times the distance along it.
    assert feature(inputs, "btag_jet_distance") <= 0


def test_without_track_details_track_features_are_zero():
    for candidate in (_NEUTRAL, _NEUTRAL | {"charge": 1, "pdgId": 211}):
        inputs = jet_inputs(array(event([(0.5, 0.0)], [candidate | {"eta": 0.4, "phi": 0.1}], [(0, 0)])))
        for name in PF_FEATURES[PF_FEATURES.index("chi2") :]:
            assert feature(inputs, name) == 0.0, name


def test_particles_are_ordered_and_cut_by_momentum():
    many = [{"pt": float(i), "eta": 0.1, "phi": 0.0} for i in range(1, MAX_PARTICLES + 11)]
    inputs = jet_inputs(array(event([(0.0, 0.0)], many, [(0, i) for i in range(len(many))])))
    expected = np.log(np.arange(len(many), len(many) - MAX_PARTICLES, -1.0))
    assert inputs["pf_features"][0, 0] == pytest.approx(expected, rel=1e-6)
    assert inputs["pf_mask"].all()


def test_vertices_are_those_of_the_jet_by_significance():
    base = dict.fromkeys(_SV, 1.0)
    vertices = [base | {"eta": 0.1, "phi": 0.0, "dlenSig": s, "mass": m} for s, m in ((4.0, 1.0), (9.0, 2.0))]
    inputs = jet_inputs(array(event([(0.0, 0.0), (2.0, 2.0)], [], [], vertices, [(0, 0), (0, 1), (0, -1)])))
    assert inputs["sv_mask"][:, 0].sum(axis=1).tolist() == [2.0, 0.0]
    assert inputs["sv_features"][0, SV_FEATURES.index("mass"), :2].tolist() == [2.0, 1.0]


def test_links_that_point_nowhere_are_left_out():
    links = [(0, 0), (0, 7), (3, 0), (-1, 0), (0, -1)]
    inputs = jet_inputs(array(event([(0.0, 0.0)], [{"eta": 0.1, "phi": 0.0}], links)))
    assert inputs["pf_mask"].sum() == 1


def test_no_events_and_no_jets():
    for events in (array(), array(event([], [{"eta": 0.1, "phi": 0.0}], []))):
        assert {name: len(values) for name, values in jet_inputs(events).items()} == dict.fromkeys(
            ("pf_points", "pf_features", "pf_mask", "sv_points", "sv_features", "sv_mask"), 0
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_inputs_are_finite_whatever_the_file_holds(bad: float):
    broken = [_TRACK | {"eta": 0.1, "phi": 0.0} | {name: bad} for name in ("pt", "eta", "phi", "mass", "d0", "dzErr")]
    vertices = [dict.fromkeys(_SV, 1.0) | {name: bad} for name in ("mass", "eta", "dxySig")]
    events = array(
        event([(0.0, 0.0)], broken, [(0, i) for i in range(len(broken))], vertices, [(0, i) for i in range(3)])
    )
    with np.errstate(all="ignore"):
        for name, values in jet_inputs(events).items():
            assert np.isfinite(values).all(), name


def test_a_selection_of_jets_takes_their_rows(generated: ak.Array):
    some = np.abs(generated.Jet_eta) < 1.0
    rows = np.asarray(ak.flatten(some))
    whole, part = jet_inputs(generated), jet_inputs(generated, some)
    for name in whole:
        assert np.array_equal(whole[name][rows], part[name]), name


@pytest.mark.parametrize("build", [jet_inputs, wide_jet_inputs])
def test_inputs_do_not_depend_on_the_chunk(build: Any, generated: ak.Array):
    whole = build(generated)
    chunks = [build(generated[start : start + 5]) for start in range(0, len(generated), 5)]
    picked = build(generated[np.arange(len(generated)) >= 0])
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([c[name] for c in chunks])), name
        assert np.array_equal(whole[name], picked[name]), name


@pytest.mark.data
def test_features_agree_with_those_that_cmssw_stored(shared_data: Any):
    import uproot

    with uproot.open(shared_data / "data" / "pfnano.root") as file:
        events = file["Events"].arrays([*JET_BRANCHES])
        stored = file["Events"].arrays(filter_name="JetPFCands_*")
    particles, jets = stored.JetPFCands_pFCandsIdx, stored.JetPFCands_jetIdx
    names = [n.removeprefix("PFCands_") for n in JET_BRANCHES if n.startswith("PFCands_")]
    p = {n: np.asarray(ak.flatten(events[f"PFCands_{n}"][particles]), np.float64) for n in names}
    eta, phi = (np.asarray(ak.flatten(events[f"Jet_{n}"][jets]), np.float64) for n in ("eta", "phi"))
    _, ours = jet_features._particle_features(p, eta, phi)
    detailed = p["trkQuality"] > 0
    assert detailed.sum() > 700
    for name, branch, transform in (
        ("btag_eta_rel", "btagEtaRel", lambda x: x),
        ("btag_pt_ratio", "btagPtRatio", lambda x: x),
        ("btag_parallel_ratio", "btagPParRatio", lambda x: x),
        ("btag_ip3d", "btagSip3dVal", lambda x: np.arcsinh(x / 50e-4)),
        ("btag_jet_distance", "btagJetDistVal", lambda x: np.arcsinh(x / 50e-4)),
    ):
        theirs = transform(np.asarray(ak.flatten(stored[f"JetPFCands_{branch}"]), np.float64))
        difference = np.abs(ours[PF_FEATURES.index(name)] - theirs)
        assert np.median(difference[detailed]) < 2e-3, name
        assert np.percentile(difference[detailed], 90) < 0.02, name
        assert not theirs[~detailed].any(), name


def wide(*events: dict[str, list[Any]]) -> ak.Array:
    """The same events with their jets as wide ones, of 400 GeV."""
    made = array(*events)
    columns = {
        name.replace("Jet", "FatJet", 1): column for name, column in zip(made.fields, ak.unzip(made), strict=True)
    }
    columns["FatJet_pt"] = ak.full_like(columns["FatJet_eta"], 400.0)
    return ak.zip(columns, depth_limit=1)


def test_wide_jets_have_the_features_of_jets_and_more():
    muon = _TRACK | {"pt": 40.0, "eta": -0.6, "phi": 0.3, "pdgId": -13, "puppiWeight": 0.5}
    made = event([(-1.0, 0.0)], [muon, {"eta": -1.0, "phi": 0.0}], [(0, 0), (0, 1)])
    narrow, inputs = jet_inputs(array(made)), wide_jet_inputs(wide(made))
    assert inputs["pf_features"].shape == (1, len(WIDE_PF_FEATURES), WIDE_MAX_PARTICLES) == (1, 25, 100)
    assert np.array_equal(inputs["pf_features"][:, :20, :MAX_PARTICLES], narrow["pf_features"])
    more = dict(zip(WIDE_PF_FEATURES[20:], inputs["pf_features"][0, 20:, 0], strict=True))
    assert more["log_pt_rel"] == pytest.approx(np.log(0.1))
    assert more["jet_distance"] == pytest.approx(0.5)
    assert (more["puppi_weight"], more["electron"], more["muon"]) == (0.5, 0, 1)


def test_of_a_wide_jet_the_hundred_hardest_particles_and_ten_vertices_are_taken():
    many = [{"pt": float(i), "eta": 0.1, "phi": 0.0} for i in range(1, WIDE_MAX_PARTICLES + 11)]
    vertices = [dict.fromkeys(_SV, 1.0) | {"dlenSig": float(i)} for i in range(14)]
    made = event([(0.0, 0.0)], many, [(0, i) for i in range(110)], vertices, [(0, i) for i in range(14)])
    inputs = wide_jet_inputs(wide(made))
    assert inputs["pf_features"][0, 0] == pytest.approx(np.log(np.arange(110, 10, -1.0)), rel=1e-6)
    assert inputs["sv_features"][0, -1] == pytest.approx(np.log(np.arange(13, 3, -1.0)), rel=1e-6)


def test_no_wide_jets_and_what_is_not_finite_or_unknown_in_one():
    assert {len(v) for v in wide_jet_inputs(wide(event([], [{"eta": 0.1, "phi": 0.0}], []))).values()} == {0}
    broken = [_TRACK | {"eta": 0.1, "phi": 0.0} | {name: np.nan} for name in ("pt", "eta", "puppiWeight", "pdgId")]
    broken.append({"eta": 0.1, "phi": 0.0, "pdgId": 99})
    with np.errstate(all="ignore"):
        inputs = wide_jet_inputs(wide(event([(np.nan, 0.0)], broken, [(0, i) for i in range(len(broken))])))
    for name, values in inputs.items():
        assert np.isfinite(values).all(), name
    assert inputs["pf_mask"].sum() == len(broken)
    assert not inputs["pf_features"][0, 23:].any()
