from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.hgcal.figures import DISTANCES_CM, ENERGIES_GEV, in_bins, outcome, total
from sonic.workloads.hgcal.plots import efficiencies, event_display, responses

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from sonic.workloads.hgcal.simulation import Event


def drawn(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=30)  # matplotlib complains about what it cannot draw when it draws


def test_clusters_of_one_shower_have_one_colour(showers: list[Event], tmp_path: Path):
    made = showers[0]
    swapped = np.where(made.shower >= 0, len(made.kind) - 1 - made.shower, -1)
    figure = event_display(made.hits, {"truth": made.shower, "another": swapped})
    assert all(len(axes.collections[0].get_offsets()) == len(made) for axes in figure.axes)
    colours = [axes.collections[0].get_facecolors() for axes in figure.axes[::2]]
    assert np.array_equal(*colours)
    shown = len(np.unique(colours[0], axis=0)) - 1  # grey is of none
    assert shown == len(np.unique(made.shower[made.shower >= 0]))
    drawn(figure, tmp_path / "event.png")


def test_an_event_without_hits(showers: list[Event], tmp_path: Path):
    none = showers[0].hits.chosen(np.zeros(len(showers[0]), bool))
    drawn(event_display(none, {"truth": np.empty(0, int)}), tmp_path / "empty.png")


def test_efficiencies_and_responses(showers: list[Event], tmp_path: Path):
    found = total(outcome(each, each.shower) for each in showers)
    by_energy = in_bins(found.true_gev, ENERGIES_GEV, found)
    by_distance = in_bins(found.distance_cm, DISTANCES_CM, found)
    figure = efficiencies({"truth": (by_energy, by_distance)})
    assert figure.axes[0].get_ylim()[1] > 1
    drawn(figure, tmp_path / "efficiency.png")
    drawn(responses({"truth": (by_energy, by_energy)}), tmp_path / "response.png")
