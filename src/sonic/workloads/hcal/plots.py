"""Pictures of the hadron calorimeter. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads.hcal.mahi import MAHI, variance
from sonic.workloads.hcal.pulse import SLICE_NS, SLICES
from sonic.workloads.plots import COLOURS, panels
from sonic.workloads.uncertainties import count_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from sonic.workloads.hcal.effects import Effects
    from sonic.workloads.hcal.mahi import Fitted, Mahi
    from sonic.workloads.hcal.pulse import Floats
    from sonic.workloads.hcal.simulation import Conditions
    from sonic.workloads.resolution import Resolution


def resolutions(curves: Mapping[str, Mapping[str, Resolution]]) -> Figure:
    """Draw bias and resolution against the true energy.

    Parameters
    ----------
    curves : mapping of str to mapping of str to Resolution
        By what the collisions are like, which has a row, and by the algorithm's name.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(2, len(curves), 3.4)
    left, right = figure.axes[::2], figure.axes[1::2]
    for (label, row), bias, width in zip(curves.items(), left, right, strict=True):
        for colour, (name, found) in zip(COLOURS, row.items(), strict=False):
            bias.errorbar(found.energy_gev, 100 * found.bias, 100 * found.bias_error, **_style(colour, name))
            width.errorbar(found.energy_gev, 100 * found.width, 100 * found.width_error, **_style(colour, name))
        bias.axhline(0, color="black", linewidth=0.8, linestyle=":")
        bias.set(ylabel="bias (%)", title=label)
        width.set(ylabel="resolution (%)", title=label, ylim=(0, None))
        for axes in (bias, width):
            axes.set(xscale="log", xlabel="true energy (GeV)")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.grid(alpha=0.25)
    # One scale for all rows, so that they can be compared by eye.
    for column in (left, right):
        low, high = min(axes.get_ylim()[0] for axes in column), max(axes.get_ylim()[1] for axes in column)
        for axes in column:
            axes.set_ylim(low, high)
    figure.axes[1].legend(frameon=False)
    return figure


def jets_and_missing_energy(found: Mapping[float, Mapping[str, Effects]]) -> Figure:
    """Draw what algorithms do to jets, by their transverse momentum in the most pile-up, and what pile-up does to them.

    Parameters
    ----------
    found : mapping of float to mapping of str to Effects
        By the mean number of collisions of a crossing, and by the algorithm's name.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(2, 2, 3.4)
    bias, width, extra, missing = figure.axes
    pileup = sorted(found)
    for colour, name in zip(COLOURS, found[pileup[-1]], strict=False):
        style = _style(colour, name)
        jets = found[pileup[-1]][name].jets
        bias.errorbar(jets.energy_gev, 100 * jets.bias, 100 * jets.bias_error, **style)
        width.errorbar(jets.energy_gev, 100 * jets.width, 100 * jets.width_error, **style)
        row = [found[mean][name] for mean in pileup]
        events = np.array([each.events for each in row])
        found_extra = np.array([each.extra for each in row])
        extra.errorbar(pileup, found_extra, count_errors(found_extra * events) / events, **style)
        residual = [each.missing_gev for each in row]
        missing.errorbar(pileup, residual, [each.up for each in residual], **style)
    title = f"jets at {pileup[-1]:g} collisions a crossing"
    bias.axhline(0, color="black", linewidth=0.8, linestyle=":")
    bias.set(ylabel="bias (%)", title=title)
    width.set(ylabel="resolution (%)", title=title, ylim=(0, None))
    for axes in (bias, width):
        axes.set(xscale="log", xlabel=r"true $p_T$ (GeV)", xlim=(20, None))
        axes.set_xticks([20, 50, 100, 200], ["20", "50", "100", "200"])
        axes.set_xticks([], minor=True)
    extra.set(ylabel="jets in an event", title="jets that are not there", ylim=(0, None))
    missing.set(ylabel="resolution of a component (GeV)", title="missing transverse energy", ylim=(0, None))
    for axes in (extra, missing):
        axes.set_xlabel("collisions a crossing")
    for axes in figure.axes:
        axes.grid(alpha=0.25)
    missing.legend(frameon=False)
    return figure


def pulse_fits(
    charge_fc: Floats, known: Conditions, fitted: Fitted, true_gev: Floats | None = None, fit: Mahi = MAHI
) -> Figure:
    """Draw channels' charges, and the pulses that were found in them.

    Parameters
    ----------
    charge_fc : float array [channels, 8]
        Raw, with the pedestal. One panel each: choose few.
    known : Conditions
        Of these channels.
    fitted : Fitted
        Of these channels.
    true_gev : float array [channels], optional
        True energies, for the titles.
    fit : Mahi
        What found the pulses.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    number = len(charge_fc)
    figure = panels(min(number, 3), -(-number // 3), 3.2)
    mean, _ = fit.templates()
    times = SLICE_NS * np.arange(SLICES)
    colours = [COLOURS[0] if c == 0 else "#d8b38c" if c < 0 else "#a9c4a0" for c in fit.crossings]
    labels = ["in time" if c == 0 else "earlier crossings" if c < 0 else "later crossings" for c in fit.crossings]
    errors = np.sqrt(variance(charge_fc.T, known)).T / 1e3
    for i, axes in enumerate(figure.axes[:number]):
        base = np.zeros(SLICES)
        # The in-time pulse at the bottom, where its shape is seen.
        for pulse in sorted(range(len(colours)), key=lambda p: (fit.crossings[p] != 0, p)):
            height = fitted.amplitudes_fc[i, pulse] * mean[:, pulse] / 1e3
            if np.isfinite(height).all() and height.any():
                bars = axes.bar(times, height, SLICE_NS, bottom=base, color=colours[pulse], label=labels[pulse])
                for bar in bars:
                    bar.set(edgecolor="white", linewidth=0.6)
                base = base + height
        signal = (charge_fc[i] - known.pedestal_fc[i]) / 1e3
        axes.errorbar(times, signal, errors[i], fmt="o", color="black", markersize=4, label="charge, less pedestal")
        top = max(base.max(), np.nan_to_num(signal + errors[i]).max(), 0.01)
        axes.set_ylim(min(-0.03 * top, 1.2 * np.nan_to_num(signal - errors[i]).min()), 1.1 * top)
        title = f"{fitted.energy_gev[i]:.2f} GeV found" + ("" if true_gev is None else f", {true_gev[i]:.2f} GeV true")
        axes.set_title(f"{title}, $\\chi^2$ {fitted.chi2[i]:.1f}", fontsize=9)
        axes.set(xlabel="time slice (ns)", ylabel="charge (pC)", xticks=times)
    for axes in figure.axes[number:]:
        axes.set_visible(False)
    shown: dict[str, Artist] = {}
    for axes in figure.axes[:number]:
        artists, names = axes.get_legend_handles_labels()
        shown |= dict(zip(names, artists, strict=True))
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _style(colour: str, label: str) -> dict[str, Any]:
    return {"fmt": "o-", "color": colour, "label": label, "markersize": 4}
