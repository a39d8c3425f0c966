from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.simulation.decays import UNDEFINED, Decays, concatenate, find, none, wide_jet_classes
from sonic.workloads.truth import WIDE_CLASSES


def decays(*given: tuple[int, list[tuple[int, float]]], event: int = 0) -> Decays:
    """Decays of one event: the particle's code, and code and azimuth of each product, all at eta 0."""
    product, phi = np.zeros((len(given), 4), np.int32), np.zeros((len(given), 4))
    for i, (_, products) in enumerate(given):
        for j, (code, angle) in enumerate(products):
            product[i, j], phi[i, j] = code, angle
    kinds = np.array([kind for kind, _ in given], np.int32)
    return Decays(np.full(len(given), event), kinds, product, np.zeros_like(phi), phi)


def classes(made: Decays, bottom: int = 0, charm: int = 0) -> list[str]:
    """Names of the classes of two jets back to back, at azimuth 0 and 3."""
    jets = ak.Array([[{"eta": 0.0, "phi": 0.0}, {"eta": 0.0, "phi": 3.0}]])
    flavour = {"nBHadrons": ak.Array([[bottom, 0]]), "nCHadrons": ak.Array([[charm, 0]])}
    found = wide_jet_classes(jets, flavour, made, 0.8)
    return [WIDE_CLASSES[i] if i != UNDEFINED else "" for i in found[0].tolist()]


@pytest.mark.parametrize(
    ("kind", "products", "expected"),
    [
        (6, [(5, 0.0), (4, 0.1), (3, -0.2)], "Tbcq"),
        (6, [(5, 0.0), (2, 0.1), (1, -0.2)], "Tbqq"),
        (6, [(5, 0.0), (4, 0.1), (3, 1.5)], "Tbc"),
        (6, [(5, 0.0), (4, 1.5), (3, 0.1)], "Tbq"),
        (6, [(5, 0.0), (13, 0.1), (14, 1.5)], "Tbmu"),
        (6, [(5, 1.5), (4, 0.1), (3, 0.1)], ""),
        (24, [(4, 0.0), (3, 0.1)], "Wcq"),
        (24, [(2, 0.0), (1, 0.1)], "Wqq"),
        (24, [(2, 0.0), (1, 1.5)], ""),
        (24, [(11, 0.0), (12, 0.1)], ""),
        (23, [(5, 0.0), (5, 0.1)], "Zbb"),
        (25, [(4, 0.0), (4, 0.1)], "Hcc"),
        (25, [(4, 0.0), (3, 0.1), (2, 0.3), (1, 1.5)], "Hqqqq"),
        (25, [(4, 0.0), (3, 0.1), (2, 1.5), (1, 1.5)], ""),
        (23, [(12, 0.0), (12, 0.1)], "QCDothers"),
    ],
)
def test_a_jet_is_of_the_decay_that_it_holds(kind: int, products: list[tuple[int, float]], expected: str):
    assert classes(decays((kind, products))) == [expected, "QCDothers"]


def test_the_most_that_a_jet_holds_counts():
    top, w = (6, [(5, 0.0), (2, 0.1), (1, -0.2)]), (24, [(2, 0.1), (1, -0.2)])
    assert classes(decays(top, w))[0] == classes(decays(w, top))[0] == "Tbqq"
    without_b = (6, [(5, 1.5), (2, 0.1), (1, -0.2)])
    assert classes(decays(without_b, w))[0] == classes(decays(w, without_b))[0] == "Wqq"


def test_other_jets_by_their_heavy_hadrons():
    assert [classes(none(), *hadrons)[0] for hadrons in ((0, 0), (0, 1), (0, 3), (1, 2), (2, 2))] == [
        "QCDothers",
        "QCDc",
        "QCDcc",
        "QCDb",
        "QCDbb",
    ]


def test_a_record_is_followed_to_the_quarks():
    # t -> t (a copy) -> W b, the W -> W (a copy) -> c s; a Z -> neutrinos; a photon besides.
    pdg_id = np.array([6, 6, 24, 5, 24, 4, -3, 23, 12, -12, 22], np.int32)
    first = np.array([1, 2, 4, -1, 5, -1, -1, 8, -1, -1, -1])
    last = np.array([1, 3, 4, -1, 6, -1, -1, 10, -1, -1, -1])
    eta = np.arange(11.0)
    found = find(np.zeros(11, np.int64), pdg_id, eta, eta, (first, last))
    assert found.kind.tolist() == [6, 24, 23]
    assert found.product.tolist() == [[5, 4, 3, 0], [4, 3, 0, 0], [12, 12, 0, 0]]
    assert found.eta[0].tolist() == [3, 5, 6, 0]
    assert len(concatenate([found, none()])) == 3


def test_nothing_heavy():
    pdg_id = np.array([21, 1], np.int32)
    nothing = np.array([-1, -1])
    assert len(find(np.zeros(2, np.int64), pdg_id, np.zeros(2), np.zeros(2), (nothing, nothing))) == 0
