from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.truth import CLASSES, WIDE_CLASSES, discriminants, jet_classes, wide_discriminants


@pytest.mark.parametrize(
    ("hadron", "parton", "bottom", "charm", "matched", "expected"),
    [
        (5, 5, 1, 1, 0, "b"),
        (5, 21, 2, 2, 0, "bb"),
        (5, 5, 1, 0, -1, "b"),
        (4, 4, 0, 1, 0, "c"),
        (4, 21, 0, 2, 0, "cc"),
        (0, -2, 0, 0, 0, "uds"),
        (0, 3, 0, 0, 3, "uds"),
        (0, 21, 0, 0, 0, "g"),
        (0, 0, 0, 0, 0, "undef"),
        (0, 4, 0, 0, 0, "undef"),
        (0, 21, 0, 0, -1, "pu"),
    ],
)
def test_classes(hadron: int, parton: int, bottom: int, charm: int, matched: int, expected: str):
    events = ak.zip(
        {
            "Jet_hadronFlavour": [[hadron], []],
            "Jet_partonFlavour": [[parton], []],
            "Jet_nBHadrons": [[bottom], []],
            "Jet_nCHadrons": [[charm], []],
            "Jet_genJetIdx": [[matched], []],
        },
        depth_limit=1,
    )
    assert [CLASSES[i] for i in jet_classes(events)] == [expected]


def test_discriminants_lie_between_0_and_1_and_rise_with_their_class():
    sure = np.eye(len(CLASSES), dtype=np.float32)
    found = discriminants(sure)
    for values in found.values():
        assert values.min() >= 0
        assert values.max() <= 1
    assert found["b"][:4] == pytest.approx([1, 1, 0, 0], abs=1e-6)
    assert found["cvl"][2:6] == pytest.approx([1, 1, 0, 0], abs=1e-6)
    assert found["cvb"][:4] == pytest.approx([0, 0, 1, 1], abs=1e-6)


def test_discriminants_of_wide_jets_are_against_quarks_and_gluons():
    found = wide_discriminants(np.eye(len(WIDE_CLASSES), dtype=np.float32))
    letter = {"top": "T", "w": "W", "z": "Z", "higgs": "H", "hbb": "Hbb"}
    for name, values in found.items():
        expected = [float(c.startswith(letter[name]) and c not in ("Tbel", "Tbmu", "Tbta")) for c in WIDE_CLASSES]
        assert values == pytest.approx(expected, abs=1e-6), name
