from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.ecal.geometry import ETA_PIXELS, LAYERS, MIDDLE, PHI_PIXELS, PHI_PIXELS_AROUND, boundaries


def test_regions_follow_each_other_and_the_calorimeter_is_deep_enough():
    ends = boundaries(np.array([0.0, 0.79, 0.81, -1.35]), np.ones(4))
    assert (np.diff(ends, axis=0) > 0).all()
    assert ends[0] == pytest.approx(1.6 * np.cosh([0.0, 0.79, 0.81, 1.35]))
    assert (ends[5] - ends[2] >= 21).all()
    assert ends[5, 2] < ends[5, 1]  # the absorbers are thinner from 0.8 on


def test_more_upstream_material_moves_all_that_lies_behind():
    one, more = (boundaries(np.array([0.4]), np.array([scale])) for scale in (1.0, 1.2))
    assert (more - one) == pytest.approx(np.full((6, 1), 0.2 * 1.6 * np.cosh(0.4)))


def test_an_image_is_made_of_whole_cells_of_the_middle_layer():
    pytest.importorskip("torch")
    from sonic.workloads.networks import deepcalo

    assert (ETA_PIXELS, PHI_PIXELS, len(LAYERS)) == (deepcalo.ETA_CELLS, deepcalo.PHI_CELLS, deepcalo.LAYERS)
    assert ETA_PIXELS % LAYERS[MIDDLE].eta_pixels == 0
    assert all(PHI_PIXELS_AROUND % layer.phi_pixels == 0 for layer in LAYERS)
