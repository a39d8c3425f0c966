from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.graphs import Windows, build, truth
from sonic.workloads.tracking.helix import cross
from sonic.workloads.tracking.simulation import Beam, events
from sonic.workloads.tracking.triplets import Kink, continued

STEPS = np.array([range(9), range(1, 10)])
"""From each layer to the next."""


def _track(qpt: float, d0_mm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    at = [cross(np.array([[d0_mm], [20.0], [3.0], [0.7], [qpt]]), radius, BARREL) for radius in BARREL.radii_mm]
    return np.array([float(each.phi[0]) for each in at]), np.array([float(each.z_mm[0]) for each in at])


@pytest.mark.parametrize("qpt", [1.4, -1.4, 0.02])
@pytest.mark.parametrize("d0_mm", [0.0, 1.5])
def test_edges_of_a_track_go_on_in_each_other(qpt: float, d0_mm: float) -> None:
    phi, z_mm = _track(qpt, d0_mm)
    assert continued(np.arange(10), phi, z_mm, STEPS, Kink(), BARREL).all()


def test_a_hit_off_the_track_parts_it() -> None:
    for moved in (0, 1):
        coordinates = _track(0.5)
        coordinates[moved][5] += (0.02, 15.0)[moved]
        kept = continued(np.arange(10), *coordinates, STEPS, Kink(), BARREL)
        assert kept.tolist() == [True] * 4 + [False] * 2 + [True] * 3


def test_displaced_tracks_need_room() -> None:
    phi, z_mm = _track(0.1, 8.0)
    narrow, wide = (continued(np.arange(10), phi, z_mm, STEPS, Kink(max_d0_mm=d0), BARREL) for d0 in (0.0, 10.0))
    assert wide.all()
    assert not narrow[0]


def test_most_false_edges_have_none_to_go_on_in() -> None:
    (event,) = events(1, Beam(particles=200), seed=46)
    edges = build(event.layer, event.phi, event.z_mm, Windows(kink=None)).edges
    true = truth(edges, event.particle)
    for sigmas, lost, kept in ((4.0, 0.02, 0.1), (2.0, 0.3, 0.05)):
        found = continued(event.layer, event.phi, event.z_mm, edges, Kink(sigmas=sigmas), BARREL)
        assert found[true].mean() > 1 - lost
        assert found[~true].mean() < kept


def test_edges_alone_and_none() -> None:
    phi, z_mm = _track(0.5)
    assert not continued(np.arange(10), phi, z_mm, STEPS[:, ::2], Kink(), BARREL).any()
    assert continued(np.arange(10), phi, z_mm, STEPS[:, :0], Kink(), BARREL).shape == (0,)
