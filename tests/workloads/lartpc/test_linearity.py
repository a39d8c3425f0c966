from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.figures import auc
from sonic.workloads.lartpc.linearity import STRAIGHT, shape
from sonic.workloads.lartpc.particles import EM, NONE, TRACK
from sonic.workloads.lartpc.patches import images

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Event


def test_a_line_is_straight_whatever_its_angle() -> None:
    for angle in np.linspace(0, np.pi, 7):
        along = np.linspace(-20, 20, 400)
        image = np.zeros((60, 60), np.float32)
        np.add.at(
            image,
            (np.round(30 + along * np.cos(angle)).astype(int), np.round(30 + along * np.sin(angle)).astype(int)),
            1,
        )
        (found,) = shape(image, [30], [30.5]).straightness
        assert found > STRAIGHT


def test_a_disc_is_not() -> None:
    u, v = np.mgrid[:60, :60]
    image = ((u - 30) ** 2 + (v - 30) ** 2 < 36).astype(np.float32)
    found = shape(10 * image, [30], [30.5])
    assert abs(found.straightness[0]) < 0.01
    assert found.kind().tolist() == [EM]


def test_without_charge_around_it_is_noise() -> None:
    image = np.zeros((60, 60), np.float32)
    image[0, 0] = 3.0
    found = shape(image, [0, 30], [0.5, 30.5])
    assert found.charge_ke.tolist() == [3.0, 0.0]
    assert np.isfinite(found.straightness).all()
    assert found.kind().tolist() == [NONE, NONE]
    assert len(shape(image, [], []).kind()) == 0


def test_it_tells_tracks_from_showers(simulated: list[Event], chamber: Chamber) -> None:
    straight: dict[int, list[float]] = {TRACK: [], EM: [], NONE: []}
    for event in simulated:
        for plane, image in enumerate(images(event.pixels, chamber)):
            mine = event.hits.plane == plane
            found = shape(image, event.hits.wire[mine], event.hits.sample[mine]).straightness
            for kind, values in straight.items():
                values.extend(found[event.kind[mine] == kind])
    assert auc(straight[TRACK], straight[EM]) > 0.7
