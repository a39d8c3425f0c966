from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.ecal.geometry import BACK, LAYERS, MIDDLE, PRESAMPLER, STRIPS
from sonic.workloads.ecal.images import draw, images

if TYPE_CHECKING:
    from sonic.workloads.ecal.simulation import Electrons


def one(layer: int, ieta: int, iphi: int, energy: float = 1.0, *, seed: tuple[int, int] = (10, 20), cluster: int = 0):
    columns = (np.array([value]) for value in (cluster, layer, ieta, iphi))
    return images(np.array([seed[0]]), np.array([seed[1]]), *columns, np.array([energy], np.float32))[0]


def test_the_hottest_cell_is_in_the_middle():
    drawn = one(MIDDLE, 10, 20)
    assert (drawn[24:32, 5, MIDDLE] == 1 / 8).all()
    assert drawn.sum() == pytest.approx(1)


@pytest.mark.parametrize(("layer", "ieta", "iphi"), [(PRESAMPLER, 10, 5), (STRIPS, 80, 5), (BACK, 5, 20)])
def test_a_cell_is_spread_over_its_pixels(layer: int, ieta: int, iphi: int):
    drawn = one(layer, ieta, iphi, 2.0)[..., layer]
    assert drawn.sum() == pytest.approx(2)
    assert (drawn > 0).sum() == LAYERS[layer].pixels
    assert drawn[24, 5] > 0


def test_only_the_part_of_a_cell_that_lies_within_counts():
    # Pixels of the image begin at 15 in phi, cells of the presampler at multiples of four.
    drawn = one(PRESAMPLER, 10, 3, 32.0)
    assert (drawn[24:32, 0, PRESAMPLER] == 1).all()
    assert drawn.sum() == pytest.approx(8)
    assert one(MIDDLE, 14, 20).sum() == 0


def test_phi_goes_round():
    drawn = one(MIDDLE, 10, 255, seed=(10, 1))
    assert drawn[24, 3, MIDDLE] > 0
    # The cell of the presampler before phi = 0, seen from behind it.
    assert np.array_equal(one(PRESAMPLER, 10, 63, seed=(10, 1)), one(PRESAMPLER, 10, 10, seed=(10, 45)))


@pytest.mark.parametrize("given", [{"energy": np.nan}, {"energy": np.inf}, {"cluster": 1}, {"cluster": -1}])
def test_what_makes_no_sense_is_left_out(given: dict[str, float]):
    assert not one(MIDDLE, 10, 20, **given).any()


@pytest.mark.parametrize("layer", [-1, 4, 1000])
def test_a_layer_that_there_is_not_is_left_out(layer: int):
    assert not one(layer, 10, 20).any()


def test_a_sum_over_pixels_is_a_sum_over_cells(made: Electrons):
    drawn = draw(made)
    assert drawn.dtype == np.float32
    strips = np.bincount(made.cluster, made.cell_gev * (made.layer == STRIPS), len(made))
    # All but what of the outermost cells lies outside.
    assert np.abs(drawn[..., STRIPS].sum(axis=(1, 2)) - strips).max() < 0.05 * made.energy_gev.max()
    assert np.median(drawn[..., STRIPS].sum(axis=(1, 2)) / strips) == pytest.approx(1, abs=0.05)


def test_a_cluster_without_cells_is_black():
    nothing = np.zeros(0, np.int64)
    drawn = images(np.array([3]), np.array([4]), nothing, nothing, nothing, nothing, np.zeros(0))
    assert drawn.shape == (1, 56, 11, 4)
    assert not drawn.any()
