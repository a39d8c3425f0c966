from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.features import CELL_FEATURES, TAU_BRANCHES, TAU_FEATURES, TAU_GRIDS, tau_candidates, tau_inputs
from sonic.workloads.features.tau import TAU_NOT_FILLED

_PHOTON: dict[str, Any] = {
    "pt": 3.0,
    "eta": 0.0,
    "phi": 0.0,
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
_PION = _PHOTON | {"pt": 20.0, "charge": 1, "pdgId": 211, "mass": 0.13957, "trkQuality": 5, "trkChi2": 1.0}
_PION |= {"d0": 0.01, "d0Err": 0.002, "dz": 0.02, "dzErr": 0.004}


def events(*given: tuple[list[tuple[float, float]], list[dict[str, Any]], list[tuple[int, int]]]) -> ak.Array:
    """Events of jets (pt, eta), candidates, and which candidate is in which jet."""
    columns: dict[str, Any] = {"fixedGridRhoFastjetAll": np.full(len(given), 15.0)}

    def add(name: str, rows: list[list[Any]]) -> None:
        columns[name] = ak.values_astype(ak.Array([*rows, [0]]), np.float64)[:-1]

    for i, name in enumerate(("pt", "eta")):
        add(f"Jet_{name}", [[jet[i] for jet in jets] for jets, _, _ in given])
    for i, name in enumerate(("jetIdx", "pFCandsIdx")):
        add(f"JetPFCands_{name}", [[link[i] for link in links] for _, _, links in given])
    for name in _PHOTON:
        add(f"PFCands_{name}", [[c[name] for c in candidates] for _, candidates, _ in given])
    return ak.zip(columns, depth_limit=1)


def one(*candidates: dict[str, Any], jet: tuple[float, float] = (40.0, 0.0)) -> ak.Array:
    return events(([jet], [*candidates], [(0, i) for i in range(len(candidates))]))


def feature(made: ak.Array, name: str) -> float:
    return float(tau_inputs(made)["input_tau"][0, TAU_FEATURES.index(name)])


def test_a_candidate_of_a_prong_and_a_strip():
    taus = tau_candidates(one(_PHOTON | {"phi": 0.15}, _PION | {"charge": -1}, _PION | {"pt": 5.0, "eta": 0.2}))
    assert taus.counts.tolist() == [1]
    assert taus.pt[0] == pytest.approx(np.hypot(20 + 3 * np.cos(0.15), 3 * np.sin(0.15)))
    assert (taus.charge[0], taus.prongs[0], taus.strips[0], taus.lead[0], taus.jet[0]) == (-1, 1, 1, 1, 0)
    assert taus.cone[0] == pytest.approx(3 / 40)


def test_of_many_prongs_the_three_hardest():
    pions = [_PION | {"pt": 10.0 + i, "charge": charge} for i, charge in enumerate((1, 1, -1, 1))]
    taus = tau_candidates(one(*pions))
    assert (taus.prongs[0], taus.charge[0], taus.pt[0]) == (3, 1, pytest.approx(36.0))


@pytest.mark.parametrize(
    ("candidates", "jet"),
    [
        ([_PHOTON | {"pt": 50.0}], (60.0, 0.0)),
        ([_PION | {"pt": 10.0}], (20.0, 0.0)),
        ([_PION | {"eta": 2.6}], (40.0, 2.6)),
        ([_PION], (10.0, 0.0)),
        ([_PION | {"dz": 3.0}], (40.0, 0.0)),
        ([_PION | {"pt": np.nan}], (40.0, 0.0)),
        ([_PION], (np.nan, 0.0)),
        ([], (40.0, 0.0)),
    ],
    ids=["no track", "soft", "forward", "soft jet", "pile-up", "NaN candidate", "NaN jet", "nothing in it"],
)
def test_what_is_no_candidate(candidates: list[dict[str, Any]], jet: tuple[float, float]):
    made = one(*candidates, jet=jet)
    assert tau_candidates(made).counts.tolist() == [0]
    assert {len(values) for values in tau_inputs(made).values()} == {0}


def test_features_by_hand():
    made = one(_PION, _PION | {"pt": 4.0, "eta": 0.25}, _PHOTON | {"eta": -0.4})
    assert feature(made, "rho") == pytest.approx(0.5)
    assert feature(made, "log_pt") == pytest.approx(0.0, abs=1e-6)
    assert feature(made, "charged_isolation") == pytest.approx(np.arcsinh(0.2))
    assert feature(made, "charged_isolation_ratio") == pytest.approx(1.0)
    assert feature(made, "neutral_isolation") == pytest.approx(np.arcsinh(0.15))
    assert feature(made, "neutral_isolation_ratio") == pytest.approx(0.0)
    assert feature(made, "dxy_significance") == pytest.approx(np.arcsinh(5.0))
    assert feature(made, "dz_significance") == pytest.approx(np.arcsinh(5.0))
    for name in TAU_NOT_FILLED:
        assert feature(made, name) == 0.0, name


def test_a_candidate_stands_in_its_cell_of_both_grids():
    made = one(_PION, _PHOTON | {"eta": 0.041, "phi": -0.079})
    taus, inputs = tau_candidates(made), tau_inputs(made)
    d_eta, d_phi = 0.041 - taus.eta[0], -0.079 - taus.phi[0]
    for grid, (side, size) in TAU_GRIDS.items():
        cell = tuple(int(np.floor(d / size + side / 2)) for d in (d_eta, d_phi))
        filled = np.argwhere(inputs[f"input_{grid}_egamma"][0].any(axis=-1))
        assert filled.tolist() == [list(cell)], grid
        assert inputs[f"input_{grid}_egamma"][0, *cell, 27] == pytest.approx(3.0 / taus.pt[0])  # of a photon
        assert not inputs[f"input_{grid}_egamma"][0, *cell, 4:26].any()  # of an electron
        assert not inputs[f"input_{grid}_muon"].any()
        assert inputs[f"input_{grid}_hadrons"][0].any(axis=-1).sum() == 1


def test_a_cell_takes_the_hardest_of_a_kind():
    around = [_PHOTON | {"pt": pt, "eta": 0.3} for pt in (1.0, 4.0, 2.0)]
    inputs = tau_inputs(one(_PION, *around))
    cells = inputs["input_outer_egamma"][0, ..., 27]
    assert cells.max() == pytest.approx(4.0 / 20.0, rel=1e-3)
    assert (cells > 0).sum() == 1


@pytest.mark.parametrize("odd", [{"pdgId": 99}, {"eta": np.nan}, {"pt": np.inf}, {"phi": np.inf}])
def test_unknown_kinds_and_what_is_not_finite_stand_nowhere(odd: dict[str, float]):
    without, made = one(_PION), one(_PION, _PHOTON | {"eta": 0.1} | odd)
    for name, values in tau_inputs(made).items():
        assert np.isfinite(values).all(), name
        if name != "input_tau" and odd != {"pt": np.inf}:
            assert np.array_equal(values, tau_inputs(without)[name]), name


def test_shapes_are_the_network_s():
    inputs = tau_inputs(events(([], [], []), ([(40.0, 0.0)], [_PION], [(0, 0)])))
    assert inputs["input_tau"].shape == (1, 47)
    assert CELL_FEATURES == {"egamma": 86, "muon": 64, "hadrons": 38}
    for grid, side in (("inner", 11), ("outer", 21)):
        for kind, features in CELL_FEATURES.items():
            assert inputs[f"input_{grid}_{kind}"].shape == (1, side, side, features)


def test_inputs_do_not_depend_on_the_chunk(generated: ak.Array):
    assert set(TAU_BRANCHES) <= set(generated.fields)
    whole = tau_inputs(generated)
    chunks = [tau_inputs(generated[start : start + 5]) for start in range(0, len(generated), 5)]
    assert len(whole["input_tau"]) > 10
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([c[name] for c in chunks])), name
