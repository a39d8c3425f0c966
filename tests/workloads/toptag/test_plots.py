from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.toptag.images import images
from sonic.workloads.toptag.plots import jet_images, scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.workloads.toptag.images import Constituents


def test_images_have_a_row_a_kind_and_a_column_a_colour(make_jets: Callable[..., Constituents]):
    kinds = {"top": images(make_jets(5, 3, seed=1)), "qcd": images(make_jets(5, 1, seed=2))}
    figure = jet_images(kinds)
    drawn, scales = figure.axes[:6], figure.axes[6:]
    assert [axes.get_ylabel() for axes in drawn[::3]] == ["top", "qcd"]
    part, number = "mean part of the jet's $p_T$", "mean number in a jet"
    assert [axes.get_xlabel() for axes in scales] == [part, part, number]
    shown = figure.axes[0].images[0].get_array()
    assert np.asarray(shown).max() > 0


def test_scores_are_drawn_by_kind():
    random = np.random.default_rng(1)
    figure = scores({"top": random.uniform(0.5, 1, 100), "qcd": random.uniform(0, 0.5, 50)})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["top (100)", "qcd (50)"]
