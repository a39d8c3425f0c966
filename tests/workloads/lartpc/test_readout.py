from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.lartpc.chamber import Chamber
from sonic.workloads.lartpc.readout import collect, electrons_ke, noise
from sonic.workloads.lartpc.tracks import Steps


def step(x: float = 300.0, *, energy: float = 0.63, particle: int = 0) -> Steps:
    return Steps(np.array([[x, 350.0, 250.0]]), np.array([energy]), np.array([3.0]), np.array([particle]))


def test_seven_in_ten_of_a_minimum_ionising_particles_electrons_arrive(chamber: Chamber) -> None:
    (found,) = electrons_ke(step(x=0.0), chamber)  # 2.1 MeV/cm
    assert found == pytest.approx(0.63 / 23.6 * 1e3 * 0.70, rel=0.02)
    dense = electrons_ke(step(x=0.0, energy=6.3), chamber)
    assert dense < 7 * found  # recombination
    assert electrons_ke(step(x=600.0), chamber) < found  # impurities


def test_charge_is_where_it_arrives_and_none_is_lost(chamber: Chamber) -> None:
    for plane in range(3):
        one = step()
        charge, owner = collect(plane, one, np.array([10.0]), chamber)
        assert charge.shape == owner.shape == chamber.shapes[plane]
        assert charge.sum() == pytest.approx(10.0, rel=0.02)
        wire, sample = np.unravel_index(charge.argmax(), charge.shape)
        assert abs(wire + 0.5 - chamber.wire(plane, one.position_mm)[0]) < 1
        assert abs(sample + 0.5 - chamber.sample(one.position_mm)[0]) < 1
        assert set(owner[charge > 0]) == {0}
        assert (owner[charge == 0] == -1).all()


def test_charge_spreads_on_its_way() -> None:
    large = Chamber(height_mm=700.0, width_mm=500.0)

    def width(x: float) -> float:
        charge, _ = collect(2, step(x=x), np.array([10.0]), large)
        profile = charge.sum(axis=0) / charge.sum()
        at = np.arange(len(profile))
        return float(np.sqrt((profile * at**2).sum() - (profile * at).sum() ** 2))

    assert width(3500.4) > 1.1 * width(51.6)


def test_a_pixel_is_whose_charge_is_the_largest(chamber: Chamber) -> None:
    both = Steps(*(np.concatenate(columns) for columns in zip(step(), step(particle=1), strict=True)))
    for charges, expected in (([1.0, 5.0], 1), ([5.0, 1.0], 0)):
        charge, owner = collect(2, both, np.array(charges), chamber)
        assert set(owner[charge > 0]) == {expected}


def test_noise_is_as_wide_as_its_plane_says(chamber: Chamber) -> None:
    for plane in range(3):
        drawn = noise(plane, chamber, np.random.default_rng(1))
        assert drawn.dtype == np.float32
        assert drawn.std() == pytest.approx(chamber.noise_ke[plane], rel=0.02)
