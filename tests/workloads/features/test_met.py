from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.features import MAX_CANDIDATES, MET_FEATURES, MET_SCALE_GEV, MET_VOCABULARIES, met_inputs

_NEUTRAL: dict[str, Any] = {
    "pt": 1.0,
    "eta": 0.0,
    "phi": 0.0,
    "mass": 0.0,
    "charge": 0,
    "pdgId": 22,
    "puppiWeight": 1.0,
    "pvAssocQuality": 7,
    "trkQuality": 0,
    "d0": -1.0,
    "dz": -1.0,
}
_TRACK = _NEUTRAL | {"charge": 1, "pdgId": 211, "mass": 0.13957, "trkQuality": 5, "d0": 0.01, "dz": -0.02}


def events(*given: list[dict[str, Any]]) -> ak.Array:
    """Jagged columns of numbers, also where there are none."""
    rows = {name: [[(_NEUTRAL | c)[name] for c in candidates] for candidates in given] for name in _NEUTRAL}
    columns = {f"PFCands_{n}": ak.values_astype(ak.Array([*r, [0]]), np.float64)[:-1] for n, r in rows.items()}
    return ak.zip(columns, depth_limit=1)


def categories(inputs: dict[str, Any], place: int) -> list[int]:
    return [int(inputs[f"input_cat{i}"][0, place, 0]) for i in range(3)]


def test_inputs_by_hand():
    track = _TRACK | {"pt": 100.0, "eta": 1.0, "phi": np.pi / 2, "charge": -1, "pdgId": -211}
    inputs = met_inputs(events([track]))
    values = dict(zip(MET_FEATURES, inputs["input"][0, 0], strict=True))
    assert values["pt"] == pytest.approx(2.0)
    assert (values["px"], values["py"]) == pytest.approx((0.0, 2.0), abs=1e-6)
    assert values["dz"] == pytest.approx(np.arcsinh(-0.2))
    assert categories(inputs, 0) == [0, 0, 3]
    assert not inputs["input"][0, 1:].any()


def test_pile_up_tracks_have_no_relation_to_the_vertex():
    assert categories(met_inputs(events([_TRACK | {"puppiWeight": 0.0}])), 0)[2] == 0


@pytest.mark.parametrize("odd", [{"pdgId": 99}, {"pdgId": np.nan}, {"charge": np.nan}, {"charge": np.inf}])
def test_an_unknown_category_is_one_that_the_network_knows(odd: dict[str, float]):
    found = categories(met_inputs(events([{"pt": 5.0} | odd])), 0)
    assert all(0 <= code < size for code, size in zip(found, MET_VOCABULARIES, strict=True))
    if "pdgId" in odd:
        assert found[1] == 3, "an unknown kind counts as none"


def test_beyond_the_padding_the_hardest_candidates_are_taken():
    many = [{"pt": float(i + 1)} for i in range(MAX_CANDIDATES + 20)]
    inputs = met_inputs(events(many, many[:3]))
    pt = inputs["input"][:, :, MET_FEATURES.index("pt")] * MET_SCALE_GEV
    assert pt[0].min() == pytest.approx(21.0)
    assert pt[1, :4].tolist() == pytest.approx([1.0, 2.0, 3.0, 0.0])


def test_no_events_and_no_candidates():
    assert met_inputs(events())["input"].shape == (0, MAX_CANDIDATES, len(MET_FEATURES))
    assert not met_inputs(events([]))["input"].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_inputs_are_finite_whatever_the_file_holds(bad: float):
    broken = [_TRACK | {name: bad} for name in _TRACK]
    with np.errstate(all="ignore"):
        for name, values in met_inputs(events(broken)).items():
            assert np.isfinite(values).all(), name


def test_inputs_do_not_depend_on_the_chunk(generated: ak.Array):
    whole = met_inputs(generated)
    chunks = [met_inputs(generated[start : start + 5]) for start in range(0, len(generated), 5)]
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([c[name] for c in chunks])), name
