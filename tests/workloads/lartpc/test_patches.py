from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.lartpc.patches import HALF, SIZE, cut, images, usable
from sonic.workloads.lartpc.simulation import Pixels

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Event


def pixels(*rows: tuple[int, int, int, float]) -> Pixels:
    plane, wire, sample, charge = np.array(rows, float).reshape(-1, 4).T
    return Pixels(plane.astype(int), wire.astype(int), sample.astype(int), charge.astype(np.float32))


def test_images_are_what_was_kept(simulated: list[Event], chamber: Chamber) -> None:
    event = simulated[0]
    for plane, image in enumerate(images(event.pixels, chamber)):
        assert image.shape == chamber.shapes[plane]
        mine = event.pixels.plane == plane
        assert (
            image[event.pixels.wire[mine], event.pixels.sample[mine]].tobytes()
            == event.pixels.charge_ke[mine].tobytes()
        )
        assert np.count_nonzero(image) == mine.sum()


def test_pixels_that_make_no_sense_are_left_out(chamber: Chamber) -> None:
    wrong = pixels(
        (2, 3, 4, 5.0), (2, 3, 5, np.nan), (2, 3, 6, np.inf), (2, -1, 4, 1.0), (2, 9999, 4, 1.0), (7, 3, 4, 1.0)
    )
    u, v, w = images(wrong, chamber)
    assert not u.any()
    assert not v.any()
    assert np.argwhere(w).tolist() == [[3, 4]]


def test_a_patch_has_its_hit_in_the_middle() -> None:
    image = np.zeros((100, 90), np.float32)
    image[40, 30], image[41, 33], image[99, 89] = 20.0, 500.0, 10.0
    patch, corner = cut(image, [40, 99], [30.7, 89.2])
    assert patch.shape == (SIZE, SIZE, 1)
    assert patch.dtype == np.float32
    assert patch[HALF, HALF, 0] == 2  # units of 10,000 electrons
    assert patch[HALF + 1, HALF + 3, 0] == 8  # cut
    assert np.count_nonzero(patch) == 2
    assert corner[HALF, HALF, 0] == 1
    assert np.count_nonzero(corner) == 1


def test_patches_are_one_by_one_what_they_are_together(simulated: list[Event], chamber: Chamber) -> None:
    event = simulated[1]
    image = list(images(event.pixels, chamber))[2]
    mine = np.flatnonzero(event.hits.plane == 2)[:50]
    wire, sample = event.hits.wire[mine], event.hits.sample[mine]
    together = cut(image, wire, sample)
    alone = np.concatenate([cut(image, wire[i : i + 1], sample[i : i + 1]) for i in range(len(mine))])
    assert together.tobytes() == alone.tobytes()
    for one, w, s in zip(together, wire, sample.astype(int), strict=True):
        low_w, low_s = max(w - HALF, 0), max(s - HALF, 0)
        inside = image[low_w : w + HALF, low_s : s + HALF].clip(0, 80) / 10
        assert one.sum() == pytest.approx(inside.sum(), rel=1e-4)


def test_no_hits_have_no_patches() -> None:
    assert cut(np.zeros((100, 90), np.float32), [], []).shape == (0, SIZE, SIZE, 1)


def test_hits_outside_have_none(chamber: Chamber) -> None:
    plane, wire = np.array([2, 3, -1, 2, 2, 0]), np.array([0, 0, 0, -1, 500, 1])
    sample = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 1e9])
    assert usable(plane, wire, sample, chamber).tolist() == [True] + [False] * 5
    with_nan = usable([2, 2], [0, 0], [np.nan, np.inf], chamber)
    assert not with_nan.any()
