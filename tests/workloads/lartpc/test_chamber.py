from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.lartpc.chamber import PROTODUNE, Chamber


def test_images_are_of_the_experiments_size() -> None:
    assert PROTODUNE.shapes[2] == (481, 750)
    assert PROTODUNE.shapes[0] == PROTODUNE.shapes[1]
    assert PROTODUNE.sample_mm == pytest.approx(4.8)


def test_every_place_is_on_a_wire_of_every_plane(chamber: Chamber) -> None:
    points = np.random.default_rng(1).uniform(size=(1000, 3)) * chamber.box_mm
    assert chamber.inside(points).all()
    for plane, (wires, samples) in enumerate(chamber.shapes):
        wire, sample = chamber.wire(plane, points), chamber.sample(points)
        assert wire.min() >= 0
        assert wire.max() < wires
        assert sample.max() < samples
        assert np.ptp(wire) > 0.9 * wires


def test_planes_see_a_point_from_three_sides(chamber: Chamber) -> None:
    up = np.array([[100.0, 100.0, 100.0], [100.0, 200.0, 100.0]])
    steps = [np.diff(chamber.wire(plane, up))[0] for plane in range(3)]
    assert steps[0] == pytest.approx(100 * np.sin(np.deg2rad(35.7)) / 4.67)
    assert steps[1] == pytest.approx(-steps[0])
    assert steps[2] == pytest.approx(0)  # along the wire


def test_chambers_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"noise_ke has one number for each of U, V, W, given \(1.0, 1.0\)"):
        Chamber(noise_ke=(1.0, 1.0))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="above 0, given -1"):
        Chamber(drift_mm=-1.0)
