"""The ordinary energy of an electron: a window's sums in the layers, each with a weight that is fitted.

As electrons were calibrated before there were regressions: what the presampler sees stands for what was lost before
the calorimeter, what the back layer sees for what leaks out behind it (ATLAS, arXiv:0901.0512, electron and photon
chapters). The weights depend on eta, by bins, and on the energy, by the logarithm of the sum.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.ecal.geometry import CELL_ETA, ETA_PIXELS, LAYERS, MAX_ETA, MIDDLE, PHI_PIXELS, PRESAMPLER
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.simulation import electrons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.ecal.geometry import Floats

WEIGHTS = Path(__file__).with_name("weights.json")
"""What :func:`refit` gives."""

WINDOW = (3, 7)
"""Cells of the middle layer in eta and phi."""

ETA_EDGES = tuple(round(float(edge), 4) for edge in np.linspace(0, MAX_ETA, 10))
_TERMS = 3  # powers of the logarithm


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the layers.

    Parameters
    ----------
    eta_edges : tuple of float
        Of the bins in abs(eta).
    values : tuple of tuple of float
        A row for each bin: for each layer the factors of the powers of ln(sum / GeV), from 0 on, and an energy in GeV.
    """

    eta_edges: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def write(self, file: Path) -> None:
        """Keep them as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


@cache
def standard() -> Weights:
    """Return the weights that come with Sonic."""
    kept = json.loads(WEIGHTS.read_text())
    return Weights(tuple(kept["eta_edges"]), tuple(map(tuple, kept["values"])))


def sums(images: NDArray[np.float32]) -> Floats:
    """Add up the energies of each layer in the window.

    Parameters
    ----------
    images : float32 array [n, 56, 11, 4]
        Of :func:`sonic.workloads.ecal.images.images`.

    Returns
    -------
    float array [n, 4]
        GeV.

    Raises
    ------
    InvalidRequest
        If the array has another shape.
    """
    if images.ndim != 4 or images.shape[1:] != (ETA_PIXELS, PHI_PIXELS, len(LAYERS)):
        expected = f"[n, {ETA_PIXELS}, {PHI_PIXELS}, {len(LAYERS)}]"
        raise InvalidRequest(f"expected images of shape {expected}, given {list(images.shape)}")
    eta = WINDOW[0] * LAYERS[MIDDLE].eta_pixels
    first = (ETA_PIXELS - eta) // 2, (PHI_PIXELS - WINDOW[1]) // 2
    inside = images[:, first[0] : first[0] + eta, first[1] : first[1] + WINDOW[1]]
    found: Floats = inside.sum(axis=(1, 2), dtype=np.float64)
    return found


def energies(layers: Floats, eta: NDArray[np.floating], weights: Weights | None = None) -> Floats:
    """Return calibrated energies.

    Parameters
    ----------
    layers : float array [n, 4]
        As of :func:`sums`.
    eta : float array [n]
        Of the hottest cells.
    weights : Weights, optional
        Those that come with Sonic unless given.

    Returns
    -------
    float array [n]
        GeV, none negative.
    """
    weights = weights or standard()
    values = np.asarray(weights.values)[_bins(eta, weights.eta_edges)]
    found: Floats = np.maximum((_terms(layers) * values).sum(axis=1), 0.0)
    return found


def fit(layers: Floats, eta: NDArray[np.floating], energy_gev: Floats) -> Weights:
    """Fit the weights by least squares of what is missing, relative to what an energy can be known to.

    Parameters
    ----------
    layers : float array [n, 4]
    eta : float array [n]
    energy_gev : float array [n]
        True ones.

    Raises
    ------
    ConfigError
        If a bin in eta has too few electrons.
    """
    bins = _bins(eta, ETA_EDGES)
    rows = []
    spread = np.sqrt(0.3**2 + 0.12**2 * energy_gev + (0.01 * energy_gev) ** 2)
    for number in range(len(ETA_EDGES) - 1):
        chosen = bins == number
        terms = _terms(layers[chosen])
        if len(terms) < 5 * terms.shape[1]:
            raise ConfigError(f"{len(terms)} electrons of a bin in eta cannot give {terms.shape[1]} weights")
        # Electrons that left much before the calorimeter would pull the weights of all others: they count less.
        scale, robust = 1 / spread[chosen], np.ones(len(terms))
        for _ in range(5):
            by = scale * np.sqrt(robust)
            values = np.linalg.lstsq(terms * by[:, None], energy_gev[chosen] * by, rcond=None)[0]
            off = np.abs(terms @ values - energy_gev[chosen]) * scale
            robust = 1 / np.maximum(1, off / 2)
        rows.append(tuple(round(float(value), 6) for value in values))
    return Weights(ETA_EDGES, tuple(rows))


def refit(number: int = 16_000, seed: int = 1) -> Weights:
    """Fit the weights to simulated electrons; those that come with Sonic are of so many, of this seed.

    Parameters
    ----------
    number : int
    seed : int
    """
    made = electrons(number, seed=seed)
    return fit(sums(draw(made)), CELL_ETA * (made.ieta + 0.5), made.energy_gev)


def _terms(layers: Floats) -> Floats:
    log_sum = np.log(np.maximum(layers[:, PRESAMPLER + 1 :].sum(axis=1), 0.1))
    powers = log_sum[:, None, None] ** np.arange(_TERMS)
    terms = (layers[:, :, None] * powers).reshape(len(layers), layers.shape[1] * _TERMS)
    return np.concatenate([terms, np.ones((len(layers), 1))], axis=1)


def _bins(eta: NDArray[np.floating], edges: tuple[float, ...]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.searchsorted(edges, np.abs(eta), side="right") - 1
    return found.clip(0, len(edges) - 2)
