"""Electrons in the barrel: showers begun before it, in four layers of cells with noise, and the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.ecal.geometry import (
    ETA_PIXELS,
    LAYERS,
    MAX_ETA,
    MIDDLE,
    PHI_PIXELS,
    PHI_PIXELS_AROUND,
    PIXEL_ETA,
    PIXEL_PHI,
    PRESAMPLER,
    STRIPS,
    boundaries,
)
from sonic.workloads.ecal.shower import depths, radii_cm, showers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sonic.workloads.ecal.geometry import Floats, Ints
    from sonic.workloads.progress import Progress

SPOT_GEV = 0.01
"""Of which a shower's visible energy is made; that their number fluctuates gives 10 % / sqrt(E / GeV)."""
BLOCK = 250
"""Electrons that are simulated together."""

# The part of the barrel around an electron that is simulated, in pixels: whole cells of every layer, and so much that
# an image fits wherever the electron is in its cell.
_PATCH_ETA, _PATCH_PHI = 144, 24
_COIL_M, _FRONT_M, _FIELD_T = 1.15, 1.5, 2.0
_LEAST_RADIATED = 0.02
_UPSTREAM_SPREAD = 0.08
_RIPPLE = 0.006  # of the response over the folds of the absorbers, four in a cell
_PILEUP_GEV = 0.5
_TYPES = {"cell_gev": np.float32, "energy_gev": np.float64, "eta": np.float64, "phi": np.float64}
"""Of columns; others are whole numbers."""
_OF_CELLS = ("cluster", "layer", "cell_ieta", "cell_iphi", "cell_gev")
_PILEUP_SHARES = ((PRESAMPLER, 0.05), (STRIPS, 0.35), (MIDDLE, 0.6))


@dataclass(frozen=True, slots=True)
class Beam:
    """What is simulated.

    Parameters
    ----------
    min_energy_gev, max_energy_gev : float
        Energies are spread evenly in their logarithm.
    max_eta : float
    pileup : float
        Mean number of other collisions in the crossing; what they leave on average is subtracted.
    """

    min_energy_gev: float = 5.0
    max_energy_gev: float = 300.0
    max_eta: float = MAX_ETA
    pileup: float = 0.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.min_energy_gev < self.max_energy_gev <= 1000.0:
            raise ConfigError(f"energies lie between 1 and 1000 GeV and rise, given {self}")
        if not 0 < self.max_eta <= MAX_ETA or not 0 <= self.pileup < math.inf:
            raise ConfigError(f"max_eta lies in (0, {MAX_ETA}] and pileup is 0 or more, given {self}")


@dataclass(frozen=True, slots=True)
class Electrons:
    """Clusters of electrons: their cells, and the truth.

    Attributes
    ----------
    ieta, iphi : int array [n]
        Of the hottest cell of the middle layer; iphi in [0, 256).
    cluster, layer, cell_ieta, cell_iphi : int array [cells]
        Number of the cluster, and where the cell lies; numbers of a cell count cells of its layer's size.
    cell_gev : float array [cells]
    energy_gev, eta, phi : float array [n]
        The truth, where the electron meets the calorimeter.
    """

    ieta: Ints
    iphi: Ints
    cluster: Ints
    layer: Ints
    cell_ieta: Ints
    cell_iphi: Ints
    cell_gev: NDArray[np.float32]
    energy_gev: Floats
    eta: Floats
    phi: Floats

    def __len__(self) -> int:
        return len(self.ieta)


def electrons(
    number: int,
    beam: Beam | None = None,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Electrons:
    """Simulate electrons, one a cluster; the same seed gives the same ones.

    Parameters
    ----------
    number : int
    beam : Beam, optional
    seed : int
    progress : callable of (stage, done, total), optional
    """
    return join(list(blocks(number, beam, seed=seed, progress=progress)))


def blocks(
    number: int,
    beam: Beam | None = None,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Iterator[Electrons]:
    """Simulate electrons, so many at a time: their cells take 12 kB each. Together they are :func:`electrons`."""
    for start in range(0, number, BLOCK):
        random = np.random.default_rng((seed, 7, start // BLOCK))
        made = _block(min(BLOCK, number - start), beam or Beam(), random)
        if progress:
            progress("electrons", start + len(made), number)
        yield made


def join(parts: list[Electrons]) -> Electrons:
    """Put clusters together."""
    columns: dict[str, Any] = {}
    for name in (field.name for field in fields(Electrons)):
        arrays = [getattr(part, name) for part in parts]
        if name == "cluster":
            firsts = np.cumsum([0, *(len(part) for part in parts)])
            arrays = [array + first for array, first in zip(arrays, firsts, strict=False)]
        columns[name] = np.concatenate([np.zeros(0, _TYPES.get(name, np.int64)), *arrays])
    return Electrons(**columns)


def parted(made: Electrons, number: int) -> tuple[Electrons, Electrons]:
    """Return the first clusters, so many, and the others; cells are in the order of their clusters."""
    cells = int(np.searchsorted(made.cluster, number))
    columns = {field.name: getattr(made, field.name) for field in fields(Electrons)}
    at = {name: cells if name in _OF_CELLS else number for name in columns}
    others = {name: column[at[name] :] for name, column in columns.items()}
    others["cluster"] = others["cluster"] - number
    return Electrons(**{name: column[: at[name]] for name, column in columns.items()}), Electrons(**others)


def _block(number: int, beam: Beam, random: np.random.Generator) -> Electrons:
    low, high = np.log([beam.min_energy_gev, beam.max_energy_gev])
    energy = np.exp(random.uniform(low, high, number))
    eta = random.uniform(-beam.max_eta, beam.max_eta, number)
    phi = random.uniform(0, 2 * np.pi, number)
    at = np.stack([np.floor(eta / PIXEL_ETA), np.floor(phi / PIXEL_PHI)]).astype(np.int64)
    corner = np.stack([16 * ((at[0] - 64) // 16), 4 * ((at[1] - 10) // 4)])
    layers = _deposits(energy, eta, phi, corner, random)
    for number_, layer in enumerate(LAYERS):
        layers[number_] += random.normal(0, layer.noise_gev, layers[number_].shape)
    if beam.pileup:
        _add_pileup(layers, beam.pileup, random)
    return _clusters(layers, corner, energy, eta, phi)


def _deposits(
    energy: Floats, eta: Floats, phi: Floats, corner: Ints, random: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Return the energies of the cells of each layer around each electron, [n, cells in eta, cells in phi]."""
    number = len(energy)
    radiated, shift, born = _radiate(energy, eta, random)
    hard = np.flatnonzero(radiated)
    owner = np.concatenate([np.arange(number), hard])
    # The electron starts to shower at once; a photon where it converts.
    start = np.concatenate([np.zeros(number), born[hard] + random.exponential(9 / 7, len(hard))])
    aside = np.concatenate([np.zeros(number), shift[hard]])
    shapes = showers(np.concatenate([energy * (1 - radiated), (energy * radiated)[hard]]), random)
    which = np.repeat(np.arange(len(owner)), random.poisson(shapes.energy_gev / SPOT_GEV))
    depth = depths(shapes, which, random)
    radius = radii_cm(shapes, which, depth, random)
    angle = random.uniform(0, 2 * np.pi, len(which))

    ends = boundaries(eta, random.normal(1, _UPSTREAM_SPREAD, number).clip(0.7, 1.3))
    of = owner[which]
    region = (depth + start[which] >= ends[:, of]).sum(axis=0)
    spot_gev = SPOT_GEV * (1 + _RIPPLE * np.cos(4 * 2 * np.pi * phi / PIXEL_PHI))
    made = []
    for layer, inside in zip(LAYERS, (1, 3, 4, 5), strict=True):
        chosen = region == inside
        r, a, n = radius[chosen] / layer.radius_cm, angle[chosen], of[chosen]
        x = np.floor((eta[n] + r * np.cos(a)) / PIXEL_ETA).astype(np.int64) - corner[0, n]
        y = np.floor((phi[n] + aside[which[chosen]] + r * np.sin(a)) / PIXEL_PHI).astype(np.int64) - corner[1, n]
        there = (x >= 0) & (x < _PATCH_ETA) & (y >= 0) & (y < _PATCH_PHI)
        shape = (number, _PATCH_ETA // layer.eta_pixels, _PATCH_PHI // layer.phi_pixels)
        cell = np.ravel_multi_index(
            (n[there], x[there] // layer.eta_pixels, y[there] // layer.phi_pixels),
            shape,
        )
        spots = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
        made.append(spots * spot_gev[:, None, None])
    return made


def _radiate(energy: Floats, eta: Floats, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Let electrons radiate a photon in the tracker.

    Returns
    -------
    share : float array [n]
        Of the energy; 0: none is radiated that would be worth following.
    shift : float array [n]
        Of the photon in phi, away from the electron, which the field bends.
    born : float array [n]
        Radiation lengths before the photon.
    """
    number = len(energy)
    share = _LEAST_RADIATED ** random.uniform(size=number) * 0.95
    path = 0.4 * np.cosh(eta)  # radiation lengths of the tracker
    chance = 1 - np.exp(-path * 4 / 3 * np.log(1 / _LEAST_RADIATED))
    share = np.where((random.uniform(size=number) < chance) & (share * energy > 0.2), share, 0.0)
    at_m = random.uniform(0.05, _COIL_M, number)
    left_m = _COIL_M - at_m
    pt_gev = (1 - share) * energy / np.cosh(eta)
    sideways_m = 0.3 * _FIELD_T / pt_gev * left_m * (left_m / 2 + _FRONT_M - _COIL_M)
    return share, random.choice([-1.0, 1.0], number) * sideways_m / _FRONT_M, path * at_m / _COIL_M


def _add_pileup(layers: list[NDArray[np.float64]], collisions: float, random: np.random.Generator) -> None:
    """Add the photons of other collisions, about one a unit of eta and of phi in each, less their mean."""
    number = len(layers[0])
    area = _PATCH_ETA * PIXEL_ETA * _PATCH_PHI * PIXEL_PHI
    mean = collisions * area
    owner = np.repeat(np.arange(number), random.poisson(mean, number))
    x, y = random.integers(_PATCH_ETA, size=len(owner)), random.integers(_PATCH_PHI, size=len(owner))
    energy = random.exponential(_PILEUP_GEV, len(owner))
    for number_, share in _PILEUP_SHARES:
        layer = LAYERS[number_]
        np.add.at(layers[number_], (owner, x // layer.eta_pixels, y // layer.phi_pixels), share * energy)
        layers[number_] -= mean * _PILEUP_GEV * share * layer.pixels / (_PATCH_ETA * _PATCH_PHI)


def _clusters(layers: list[NDArray[np.float64]], corner: Ints, energy: Floats, eta: Floats, phi: Floats) -> Electrons:
    """Find the hottest cells of the middle layer, and keep the cells that an image around them touches."""
    number = len(energy)
    middle = layers[MIDDLE][:, 3:15, 5:19]  # the cells whose image lies within
    hottest = np.stack(np.unravel_index(middle.reshape(number, -1).argmax(axis=1), middle.shape[1:]))
    first = hottest * 1
    first[0] = 8 * first[0]  # the image's first pixels, within the patch
    found: dict[str, list[Any]] = {"cluster": [], "layer": [], "cell_ieta": [], "cell_iphi": [], "cell_gev": []}
    for layer_number, (layer, cells) in enumerate(zip(LAYERS, layers, strict=True)):
        starts = (
            np.arange(cells.shape[1])[None] * layer.eta_pixels - first[0][:, None],
            np.arange(cells.shape[2])[None] * layer.phi_pixels - first[1][:, None],
        )
        in_eta = (starts[0] > -layer.eta_pixels) & (starts[0] < ETA_PIXELS)
        in_phi = (starts[1] > -layer.phi_pixels) & (starts[1] < PHI_PIXELS)
        n, x, y = np.nonzero(in_eta[:, :, None] & in_phi[:, None, :])
        found["cluster"].append(n)
        found["layer"].append(np.full(len(n), layer_number))
        found["cell_ieta"].append(x + corner[0, n] // layer.eta_pixels)
        around = PHI_PIXELS_AROUND // layer.phi_pixels
        found["cell_iphi"].append((y + corner[1, n] // layer.phi_pixels) % around)
        found["cell_gev"].append(cells[n, x, y].astype(np.float32))
    columns = {name: np.concatenate(arrays) for name, arrays in found.items()}
    order = np.lexsort((columns["layer"], columns["cluster"]))
    seed = hottest + np.array([[3], [5]])
    return Electrons(
        ieta=seed[0] + corner[0] // LAYERS[MIDDLE].eta_pixels,
        iphi=(seed[1] + corner[1]) % PHI_PIXELS_AROUND,
        energy_gev=energy,
        eta=eta,
        phi=phi,
        **{name: column[order] for name, column in columns.items()},
    )
