"""Jets drawn by hand, and events that hold them, for the tests of top tagging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.toptag.images import Constituents
from sonic.workloads.truth import WIDE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

TOP, QCD = WIDE_CLASSES.index("Tbqq"), WIDE_CLASSES.index("QCDothers")


def drawn_jets(number: int, prongs: int, seed: int) -> Constituents:
    """Jets of thirty particles around so many directions."""
    random = np.random.default_rng(seed)
    counts = np.full(number, 30)
    angle = random.uniform(0, 2 * np.pi, (number, 1)) + 2 * np.pi / prongs * np.arange(prongs)
    distance = 0.0 if prongs == 1 else 0.35
    which = random.integers(prongs, size=(number, 30))
    eta = np.take_along_axis(distance * np.cos(angle), which, axis=1) + random.normal(0, 0.03, (number, 30))
    phi = np.take_along_axis(distance * np.sin(angle), which, axis=1) + random.normal(0, 0.03, (number, 30))
    pt = random.exponential(15.0, (number, 30)) + 1
    return Constituents(counts, pt.ravel(), eta.ravel(), phi.ravel(), random.uniform(size=number * 30) < 0.6)


@pytest.fixture(scope="session")
def make_jets() -> Callable[..., Constituents]:
    """Return a function that draws jets of so many prongs."""
    return drawn_jets


@pytest.fixture(scope="session")
def make_events() -> Callable[..., ak.Array]:
    """Return a function that makes events of so many wide jets each, in the layout of PFNano; top jets by turns."""

    def make(jets: tuple[int, ...] = (2, 0, 1, 3), seed: int = 1) -> ak.Array:
        random = np.random.default_rng(seed)
        total = sum(jets)
        top = np.arange(total) % 2 == 0
        parts = [drawn_jets(1, 3 if is_top else 1, seed + i) for i, is_top in enumerate(top)]
        axis_eta, axis_phi = random.uniform(-1.5, 1.5, total), random.uniform(-np.pi, np.pi, total)
        event = np.repeat(np.arange(len(jets)), jets)
        pt = np.array([part.pt.sum() for part in parts])
        link: list[dict[str, Any]] = [{"jetIdx": [], "pFCandsIdx": []} for _ in jets]
        cands: list[dict[str, Any]] = [{n: [] for n in ("pt", "eta", "phi", "charge", "puppiWeight")} for _ in jets]
        for i, part in enumerate(parts):
            here, first = cands[event[i]], len(cands[event[i]]["pt"])
            scale = 600 / pt[i]
            here["pt"] += list(part.pt * scale * 2)
            here["eta"] += list(part.eta + axis_eta[i])
            here["phi"] += list((part.phi + axis_phi[i] + np.pi) % (2 * np.pi) - np.pi)
            here["charge"] += list(part.charged.astype(int))
            here["puppiWeight"] += [0.5] * 30
            link[event[i]]["jetIdx"] += [i - int(np.flatnonzero(event == event[i])[0])] * 30
            link[event[i]]["pFCandsIdx"] += list(range(first, first + 30))
        fat = {
            "pt": np.full(total, 600.0),
            "eta": axis_eta,
            "phi": axis_phi,
            "mass": np.where(top, 170.0, 30.0),
            "truthClass": np.where(top, TOP, QCD),
        }
        columns = {f"FatJet_{name}": ak.unflatten(values, jets) for name, values in fat.items()}
        for collection, rows in (("FatJetPFCands", link), ("PFCands", cands)):
            columns |= {f"{collection}_{name}": ak.Array([row[name] for row in rows]) for name in rows[0]}
        integers = ("FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx", "PFCands_charge", "FatJet_truthClass")
        return ak.zip(
            {
                name: ak.values_astype(column, np.int32 if name in integers else np.float32)
                for name, column in columns.items()
            },
            depth_limit=1,
        )

    return make
