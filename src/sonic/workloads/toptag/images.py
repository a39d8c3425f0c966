"""Images of wide jets, the inputs of ResNet-50: the one definition, for training and for inference.

As top taggers on images have it (Macaluso and Shih, arXiv:1803.00107): the particles are moved so that their centroid
is in the middle, turned so that their principal axis is upright, mirrored so that most is on the right and above, and
their momenta are divided by the jet's. The three colours are those of Komiske, Metodiev and Schwartz
(arXiv:1612.01551): transverse momentum of charged particles, of neutral ones, and the number of charged ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.features.flat import finite, flat
from sonic.workloads.features.jets import pairs

if TYPE_CHECKING:
    import awkward as ak
    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Floats, Ints

PIXELS = 224
HALF_SIDE = 0.8
"""Of an image, in eta and phi."""
PT_UNIT = 0.01
"""Of the colours of momenta: a hundredth of the jet's."""

BRANCHES = (
    "FatJet_pt",
    "FatJet_eta",
    "FatJet_phi",
    "FatJetPFCands_jetIdx",
    "FatJetPFCands_pFCandsIdx",
    *(f"PFCands_{name}" for name in ("pt", "eta", "phi", "charge", "puppiWeight")),
)
"""Branches that :func:`constituents` reads."""


class Constituents(NamedTuple):
    """Particles of jets, jet after jet.

    Attributes
    ----------
    counts : int array [jets]
        Particles of each.
    pt : float array [particles]
        GeV, times the weight against pile-up.
    eta, phi : float array [particles]
        From the jet's axis.
    charged : bool array [particles]
    """

    counts: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    charged: NDArray[np.bool_]

    @property
    def jet(self) -> Ints:
        """Number of each particle's jet."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def constituents(events: ak.Array, jets: NDArray[np.bool_] | None = None) -> Constituents:
    """Collect the particles of wide jets.

    A particle without momentum or weight, or of which a number is not finite, is left out, and so are links to jets or
    particles that there are not.

    Parameters
    ----------
    events : ak.Array
        With :data:`BRANCHES`.
    jets : bool array, optional
        Which jets to take, of all those of all events; all by default.
    """
    jet = flat(events, "FatJet", ("eta", "phi"))
    link = flat(events, "FatJetPFCands", ("jetIdx", "pFCandsIdx"))
    particle = flat(events, "PFCands", ("pt", "eta", "phi", "charge", "puppiWeight"))
    wanted = np.ones(int(jet.counts.sum()), bool) if jets is None else jets
    number = np.cumsum(wanted) - 1

    of, which = pairs(link, jet, particle, wanted)
    found = particle.take(which)
    pt = found["pt"] * found["puppiWeight"]
    eta, phi = found["eta"] - jet.columns["eta"][of], wrap(found["phi"] - jet.columns["phi"][of])
    good = (finite(pt) > 0) & np.isfinite(eta) & np.isfinite(phi) & np.isfinite(pt)
    order = np.argsort(number[of[good]], kind="stable")
    counts = np.bincount(number[of[good]], minlength=int(wanted.sum()))
    pt, eta, phi, charge = (column[good][order] for column in (pt, eta, phi, found["charge"]))
    return Constituents(counts.astype(np.int64), pt, eta, phi, charge != 0)


def images(particles: Constituents) -> NDArray[np.float32]:
    """Draw jets.

    Parameters
    ----------
    particles : Constituents

    Returns
    -------
    float32 array [jets, 224, 224, 3]
        Rows from below; a jet without particles is black.
    """
    drawn = np.zeros((len(particles.counts), PIXELS, PIXELS, 3), np.float32)
    jet, share, x, y = aligned(particles)
    row, column = (np.floor((1 + at / HALF_SIDE) * PIXELS / 2).astype(np.int64) for at in (y, x))
    inside = (row >= 0) & (row < PIXELS) & (column >= 0) & (column < PIXELS)
    colour = np.where(particles.charged, 0, 1)
    at = np.stack([jet, row, column, colour])[:, inside]
    np.add.at(drawn, tuple(at), (share / PT_UNIT)[inside].astype(np.float32))
    charged = at[3] == 0
    np.add.at(drawn[..., 2], tuple(at[:3, charged]), np.float32(1))
    return drawn


def aligned(particles: Constituents) -> tuple[Ints, Floats, Floats, Floats]:
    """Move, turn and mirror the particles of jets, as an image has them.

    Returns
    -------
    jet : int array [particles]
        Number of each particle's jet.
    share : float array [particles]
        Of the jet's transverse momentum.
    x, y : float array [particles]
        In the image, from its middle.
    """
    jet, jets = particles.jet, len(particles.counts)

    def total(values: Floats) -> Floats:
        return np.bincount(jet, values, jets).astype(np.float64)

    share = particles.pt / total(particles.pt)[jet]
    eta = particles.eta - total(share * particles.eta)[jet]
    phi = particles.phi - total(share * particles.phi)[jet]
    # Of the principal axis: half the angle of the second moments.
    angle = 0.5 * np.arctan2(2 * total(share * eta * phi), total(share * eta**2) - total(share * phi**2))
    turn = (np.pi / 2 - angle)[jet]
    x = eta * np.cos(turn) - phi * np.sin(turn)
    y = eta * np.sin(turn) + phi * np.cos(turn)
    right, above = (total(share * (at > 0)) >= total(share * (at < 0)) for at in (x, y))
    return jet, share, np.where(right[jet], x, -x), np.where(above[jet], y, -y)
