"""What heavy particles decayed into, and the class of the wide jets that hold it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.truth import WIDE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEAVY = (6, 23, 24, 25)
"""Top, Z, W, Higgs."""

_MOST = 4
UNDEFINED = -1
"""Class of a jet that holds a part of a decay."""


@dataclass(frozen=True, slots=True)
class Decays:
    """Decays of heavy particles of many events, flat, ordered by event; those of the W of a top or of a Higgs, too.

    Attributes
    ----------
    event : int64 [n]
    kind : int32 [n]
        Absolute PDG code: one of :data:`HEAVY`.
    product : int32 [n, 4]
        Absolute PDG codes of the quarks and leptons at the end; 0: no further one. Of a top the bottom quark is first.
    eta, phi : float64 [n, 4]
        Their directions.
    """

    event: NDArray[np.int64]
    kind: NDArray[np.int32]
    product: NDArray[np.int32]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.event)


def concatenate(parts: Sequence[Decays]) -> Decays:
    """Join samples whose events follow each other."""
    return Decays(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Decays)))


def none() -> Decays:
    """No decays."""
    empty = np.zeros((0, _MOST))
    return Decays(np.zeros(0, np.int64), np.zeros(0, np.int32), empty.astype(np.int32), empty, empty)


def find(
    event: NDArray[np.int64],
    pdg_id: NDArray[np.int32],
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
    daughters: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Decays:
    """Find the decays of heavy particles in a generator's record.

    Parameters
    ----------
    event, pdg_id, eta, phi : array [n]
        Of all particles of the record, flat.
    daughters : tuple of int64 [n]
        Flat indices of each particle's first and last daughter; -1: none.
    """
    code = np.abs(pdg_id)
    first, last = daughters

    def below(i: int) -> list[int]:
        return list(range(first[i], last[i] + 1)) if first[i] >= 0 else []

    def products(i: int) -> list[int]:
        """Quarks and leptons at the end; those of W and Z are followed, and copies."""
        found: list[int] = []
        for d in below(i):
            if code[d] in (23, 24) or code[d] == code[i]:
                found += products(d)
            elif code[d] <= 5 or 11 <= code[d] <= 16:
                found.append(d)
        return sorted(found, key=lambda d: code[d] != 5) if code[i] == 6 else found

    rows: list[tuple[int, list[int]]] = []
    for i in np.flatnonzero(np.isin(code, HEAVY)).tolist():
        if any(code[d] == code[i] for d in below(i)):
            continue  # a copy
        found = products(i)
        if 2 <= len(found) <= _MOST:
            rows.append((i, found))
    which = np.array([i for i, _ in rows], np.int64)
    place = np.array([[*found, *[-1] * (_MOST - len(found))] for _, found in rows], np.int64).reshape(-1, _MOST)
    there = place >= 0
    return Decays(
        event=event[which],
        kind=code[which].astype(np.int32),
        product=np.where(there, code[place], 0).astype(np.int32),
        eta=np.where(there, eta[place], 0.0),
        phi=np.where(there, phi[place], 0.0),
    )


def wide_jet_classes(jets: ak.Array, flavour: dict[str, ak.Array], decays: Decays, radius: float) -> ak.Array:
    """Return the class of every wide jet, as an index into :data:`sonic.workloads.truth.WIDE_CLASSES`.

    A jet is of a decay if it holds its products: of a top the bottom quark and a further one at least, of a Higgs into
    four quarks three, of all others both. Otherwise, if there is any product of a quark's or charged lepton's kind
    within it, it is undefined, :data:`UNDEFINED`; else it is of quarks and gluons, by its heavy hadrons.

    Parameters
    ----------
    jets : ak.Array
        Records with eta and phi, events * var.
    flavour : dict of ak.Array
        As of :func:`sonic.workloads.simulation.jets.flavour`.
    decays : Decays
    radius : float
        Products within are held.

    Returns
    -------
    awkward int32 array, events * var
    """
    counts = np.asarray(ak.num(jets.eta))
    bottom, charm = (np.asarray(ak.flatten(flavour[name])) for name in ("nBHadrons", "nCHadrons"))
    plain = np.select(
        [bottom > 1, bottom == 1, charm > 1, charm == 1],
        [WIDE_CLASSES.index(name) for name in ("QCDbb", "QCDb", "QCDcc", "QCDc")],
        WIDE_CLASSES.index("QCDothers"),
    )
    eta, phi = (np.asarray(ak.flatten(column), np.float64) for column in (jets.eta, jets.phi))
    start = np.cumsum(counts) - counts
    # From the least to the most that a jet can hold: a later one is what counts.
    ranked: list[tuple[int, int, int]] = []
    for i in range(len(decays)):
        event = decays.event[i]
        for jet in range(start[event], start[event] + counts[event]):
            d_phi = wrap(decays.phi[i] - phi[jet])
            inside = (np.hypot(decays.eta[i] - eta[jet], d_phi) < radius) & (decays.product[i] > 0)
            seen = inside & ~np.isin(decays.product[i], (12, 14, 16))
            if seen.any():
                name = _name(int(decays.kind[i]), decays.product[i], inside)
                rank = (6, 25).index(decays.kind[i]) + 2 if decays.kind[i] in (6, 25) else 1
                ranked.append((rank if name else 0, jet, WIDE_CLASSES.index(name) if name else UNDEFINED))
    for _, jet, label in sorted(ranked):
        plain[jet] = label
    return ak.unflatten(plain.astype(np.int32), counts)


def _name(kind: int, product: NDArray[Any], inside: NDArray[np.bool_]) -> str:
    """Class of what a jet holds of a decay; empty if that is no class."""
    held = [int(code) for code in product[inside]]
    quarks = sorted((code for code in held if code <= 5), reverse=True)
    whole = len(held) == int((product > 0).sum())
    if kind == 6:
        if product[0] != 5 or not inside[0]:
            return ""
        leptons = [code for code in held if code in (11, 13, 15)]
        if leptons:
            return {11: "Tbel", 13: "Tbmu", 15: "Tbta"}[leptons[0]]
        charm = 4 in quarks
        return {3: "Tbcq" if charm else "Tbqq", 2: "Tbc" if charm else "Tbq"}.get(len(quarks), "")
    if kind == 25 and int((product > 0).sum()) == _MOST:
        return "Hqqqq" if len(quarks) >= 3 else ""
    if not whole or len(quarks) != 2:
        return ""
    if kind == 24:
        return "Wcq" if 4 in quarks else "Wqq"
    pair = {5: "bb", 4: "cc"}.get(quarks[0], "qq")
    name = f"{'Z' if kind == 23 else 'H'}{pair}"
    return name if name in WIDE_CLASSES else ""
