from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.lartpc.hits import SEED, SUPPRESSION, find


def test_a_peak_is_a_hit_with_its_place_charge_and_width() -> None:
    image = np.zeros((5, 40), np.float32)
    image[2, 10:15] = [1, 4, 10, 4, 1]
    found = find(image, 0.1)
    assert found.wire.tolist() == [2]
    assert found.sample == pytest.approx([12.5])
    assert found.charge_ke == pytest.approx([20.0])
    assert found.width == pytest.approx([np.sqrt((2 * 4 + 2 * 4) / 20 + 1 / 12)])


def test_two_peaks_on_a_wire_are_cut_apart_and_wires_are_not_joined() -> None:
    image = np.zeros((3, 6), np.float32)
    image[0] = [5, 9, 2, 9, 5, 4]
    image[1] = [6, 3, 0, 0, 0, 0]
    found = find(image, 0.1)
    assert found.wire.tolist() == [0, 0, 1]
    assert found.charge_ke == pytest.approx([14.0, 20.0, 9.0])  # the dip belongs to the later
    assert found.total(np.ones_like(image)).tolist() == [2, 4, 2]


def test_what_is_flat_is_one_hit() -> None:
    image = np.zeros((1, 10), np.float32)
    image[0, 2:8] = 5
    assert find(image, 0.1).charge_ke == pytest.approx([30.0])


def test_noise_is_cut() -> None:
    image = np.zeros((2, 10), np.float32)
    image[0, 3] = 0.5 * (SUPPRESSION + SEED)  # above the one, below the other
    assert len(find(image, 1.0).wire) == 0
    drawn = np.random.default_rng(1).normal(size=(500, 500)).astype(np.float32)
    expected = 500 * 500 * 1.08e-4
    assert len(find(drawn, 1.0).wire) == pytest.approx(expected, abs=5 * np.sqrt(expected))


@pytest.mark.parametrize("shape", [(0, 5), (3, 4)])
def test_an_empty_image_has_none(shape: tuple[int, int]) -> None:
    found = find(np.full(shape, np.nan, np.float32), 1.0)
    assert all(len(column) == 0 for column in found)
