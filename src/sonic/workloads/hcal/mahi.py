"""The pulse fit: the charges of a channel as a sum of pulses, one for each crossing, none negative.

Charges vary, in part together: by the converter's steps, the pedestal's width, photostatistics, the baseline, and by
when a pulse comes, in proportion to how large it is. The last needs the amplitudes, which need the covariance, so that
the two are found in turns until chi2 stays where it is. The in-time pulse is the channel's energy.

After CMS's MAHI ("Performance of the local reconstruction algorithms for the CMS hadron calorimeter with Run 2 data",
arXiv:2306.10355), written anew for all channels of a batch at once. All arithmetic is element by element: a channel's
result is the same to the bit, whichever channels it is fitted with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.hcal.nnls import cholesky, forward, nnls
from sonic.workloads.hcal.pulse import CROSSINGS, IN_TIME, MAX_FC, PULSE, SLICES, code_width_fc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hcal.nnls import Reals
    from sonic.workloads.hcal.pulse import Floats, PulseShape
    from sonic.workloads.hcal.simulation import Conditions

_AT_ONCE = 2048
"""Channels whose matrices stay in the processor's caches."""


class Flag(IntFlag):
    """What is to be known of a channel's fit; 0 where nothing is."""

    INVALID = 1
    """A charge or a condition is no number, or makes no sense: not fitted, all results NaN."""
    SATURATED = 2
    """A slice has the converter's last code: the energy is likely too low."""
    EMPTY = 4
    """All charges are exactly zero, as in a channel that was not read out: energy and chi2 are 0."""
    NOT_CONVERGED = 8
    """The last round still changed chi2, and its results are given."""


class Fitted(NamedTuple):
    """Fits.

    Attributes
    ----------
    energy_gev : float array [channels]
        Of the triggered crossing.
    amplitudes_fc : float array [channels, pulses]
        Charge of each crossing's pulse.
    chi2 : float array [channels]
    flags : uint8 array [channels]
        Sums of :class:`Flag`.
    """

    energy_gev: Reals
    amplitudes_fc: Reals
    chi2: Reals
    flags: NDArray[np.uint8]


@dataclass(frozen=True)
class Mahi:
    """How pulses are fitted.

    Parameters
    ----------
    shape : PulseShape
    crossings : tuple of int
        Whose pulses there may be; 0 is one of them.
    time_sigma_ns : float
        Of when a pulse comes.
    max_rounds : int
        Of covariance and amplitudes.
    chi2_step : float
        The change of chi2 with which a channel is done.
    dtype : {"float64", "float32"}
        Of the arithmetic and the results.

    Raises
    ------
    ConfigError
        If there is no in-time crossing, or one is not in the slices or there twice.
    """

    shape: PulseShape = PULSE
    crossings: tuple[int, ...] = CROSSINGS
    time_sigma_ns: float = 2.5
    max_rounds: int = 20
    chi2_step: float = 1e-3
    dtype: str = "float64"

    def __post_init__(self) -> None:
        wrong = set(self.crossings) - set(CROSSINGS)
        if wrong or 0 not in self.crossings or len(set(self.crossings)) < len(self.crossings):
            raise ConfigError(f"expected crossings from {CROSSINGS}, each once and 0 with them, given {self.crossings}")
        if self.dtype not in ("float64", "float32"):
            raise ConfigError(f"expected dtype float64 or float32, given {self.dtype!r}")
        if self.time_sigma_ns < 0 or self.max_rounds < 1 or self.chi2_step <= 0:
            raise ConfigError(f"expected time_sigma_ns >= 0, max_rounds >= 1 and chi2_step > 0, given {self}")

    def templates(self) -> tuple[Floats, Floats]:
        """Return each pulse's fractions, and their covariance if its time varies.

        Returns
        -------
        float array [8, pulses], float array [8, 8, pulses]
        """
        mean = self.shape.fractions(self.crossings)
        early, late = (
            self.shape.fractions(self.crossings, delay) - mean for delay in (-self.time_sigma_ns, self.time_sigma_ns)
        )
        covariance = 0.5 * (early[:, :, None] * early[:, None, :] + late[:, :, None] * late[:, None, :])
        return mean.T, np.moveaxis(covariance, 0, 2)

    def fit(self, charge_fc: Floats, known: Conditions) -> Fitted:
        """Fit channels.

        Parameters
        ----------
        charge_fc : float array [channels, 8]
            Raw, with the pedestal.
        known : Conditions
            Of these channels.

        Raises
        ------
        InvalidRequest
            If the array has not that shape.
        """
        if charge_fc.shape != (len(known), SLICES):
            raise InvalidRequest(f"expected charges of shape [{len(known)}, {SLICES}], given {list(charge_fc.shape)}")
        parts = [
            self._fit(charge_fc[at : at + _AT_ONCE], known[at : at + _AT_ONCE])
            for at in range(0, max(len(known), 1), _AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else Fitted(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _fit(self, charge_fc: Floats, known: Conditions) -> Fitted:
        number, pulses = len(charge_fc), len(self.crossings)
        each = np.stack([known.pedestal_fc, known.noise_fc, known.gain_gev, known.photoelectron_fc, known.baseline_fc])
        valid = np.isfinite(charge_fc).all(axis=1) & np.isfinite(each).all(axis=0)
        valid &= (known.noise_fc > 0) & (known.gain_gev > 0)
        empty = valid & (charge_fc == 0).all(axis=1)
        saturated = valid & (charge_fc >= MAX_FC).any(axis=1)
        flags = ~valid * int(Flag.INVALID) + saturated * int(Flag.SATURATED) + empty * int(Flag.EMPTY)
        amplitudes = np.full((number, pulses), np.nan, self.dtype)
        chi2 = np.full(number, np.nan, self.dtype)
        amplitudes[empty], chi2[empty] = 0, 0
        at = np.flatnonzero(valid & ~empty)
        if len(at):
            found, chi2[at], done = self._minimise(charge_fc[at].T, known[at])
            amplitudes[at] = found.T
            flags[at[~done]] += int(Flag.NOT_CONVERGED)
        energy = amplitudes[:, self.crossings.index(0)] * known.gain_gev.astype(self.dtype)
        return Fitted(energy, amplitudes, chi2, flags.astype(np.uint8))

    def _minimise(self, charge_fc: Floats, known: Conditions) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        signal = (charge_fc - known.pedestal_fc).astype(self.dtype)
        noise = variance(charge_fc, known).astype(self.dtype)
        baseline = (known.baseline_fc**2).astype(self.dtype)
        mean, spread = (each.astype(self.dtype) for each in self.templates())
        number = signal.shape[1]
        amplitudes = np.zeros((len(self.crossings), number), self.dtype)
        own = self.crossings.index(0)
        amplitudes[own] = np.maximum(signal[IN_TIME] / mean[IN_TIME, own], 0)
        chi2 = np.full(number, np.inf, self.dtype)
        done, solved = np.zeros(number, bool), np.zeros(number, bool)
        at = np.arange(number)
        for _ in range(self.max_rounds):
            now, y = amplitudes[:, at], signal[:, at]
            lower = cholesky(covariance(noise[:, at], baseline[at], now, spread))
            white = forward(lower, np.concatenate([np.repeat(mean[:, :, None], len(at), axis=2), y[:, None]], axis=1))
            shapes, level = white[:, :-1], white[:, -1]
            normal = sum_over(shapes[:, :, None], shapes[:, None, :])
            now, solved[at] = nnls(normal, sum_over(shapes, level[:, None]), now)
            miss = level - sum_over(np.moveaxis(shapes, 0, 1), now[:, None])
            new = sum_over(miss, miss)
            amplitudes[:, at] = now
            with np.errstate(invalid="ignore"):
                close = np.abs(new - chi2[at]) < self.chi2_step * np.maximum(new, 1)
            chi2[at] = new
            done[at] = close & solved[at]
            at = at[~close]
            if not len(at):
                break
        return amplitudes, chi2, done


MAHI = Mahi()


def variance(charge_fc: Floats, known: Conditions) -> Floats:
    """Return the variance of each slice by itself: pedestal, converter, photostatistics; float array [8, channels].

    Parameters
    ----------
    charge_fc : float array [8, channels]
        Raw, with the pedestal.
    known : Conditions
    """
    signal = charge_fc - known.pedestal_fc
    seen = np.where(signal > known.noise_fc, signal, 0.0) * known.photoelectron_fc
    total: Floats = known.noise_fc**2 + code_width_fc(charge_fc) ** 2 / 12 + seen
    return total


def covariance(noise: Reals, baseline: Reals, amplitudes_fc: Reals, spread: Reals) -> Reals:
    """Return the covariance of slices, given the pulses there are.

    Parameters
    ----------
    noise : float array [8, channels]
        As of :func:`variance`.
    baseline : float array [channels]
        Variance of what all slices are off together.
    amplitudes_fc : float array [pulses, channels]
    spread : float array [8, 8, pulses]
        As of :meth:`Mahi.templates`.

    Returns
    -------
    float array [8, 8, channels]
    """
    total = np.empty((SLICES, SLICES, noise.shape[1]), noise.dtype)
    total[:] = baseline
    for i in range(SLICES):
        total[i, i] += noise[i]
    for pulse, square in enumerate(amplitudes_fc**2):
        total += spread[:, :, pulse, None] * square
    return total


def sum_over(one: Reals, other: Reals) -> Reals:
    """Return the sum of products over the first axis, in its order whatever the other axes are."""
    total: Reals = one[0] * other[0]
    for i in range(1, len(one)):
        total += one[i] * other[i]
    return total
