from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.hcal.geometry import channels, depths, tower_of


def test_the_detector_has_the_channels_that_it_is_known_to_have() -> None:
    where = channels()
    assert len(where) == 9072 + 6768
    rows = np.stack([where.ieta, where.iphi, where.depth])
    assert len(np.unique(rows, axis=1).T) == len(where)
    assert set(np.abs(where.ieta)) == set(range(1, 30))
    assert where.iphi.min() == 1
    assert where.iphi.max() == 72
    assert where.depth.min() == 1
    assert where.depth.max() == 7


def test_towers_cover_all_angles_once_and_stand_where_they_should() -> None:
    where = channels()
    first = np.unique(np.stack([where.ieta, where.iphi]), axis=1, return_index=True)[1]
    towers = where[first]
    assert towers.area.sum() == pytest.approx(2 * 3.0 * 2 * np.pi, rel=1e-9)
    assert np.abs(where.eta).max() < 3.0
    assert (np.sign(where.eta) == np.sign(where.ieta)).all()
    assert (np.abs(where.phi) <= np.pi).all()
    for width in (where.ieta == 5, where.ieta == 25):
        apart = np.diff(np.unique(where.phi[width].round(9)))
        assert apart == pytest.approx(2 * np.pi / (len(apart) + 1))


def test_the_table_that_all_share_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        channels().ieta[0] = 3


@pytest.mark.parametrize("ieta", [0, -3, 30])
def test_a_tower_that_is_not_there_has_no_depths(ieta: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 29"):
        depths(ieta)


def test_towers_are_found_at_their_centres() -> None:
    where = channels()
    ieta, iphi = tower_of(where.eta, where.phi)
    assert (ieta == where.ieta).all()
    assert (iphi == where.iphi).all()
    with pytest.raises(ValueError, match=r"below 3\.0, given 3\.2"):
        tower_of(np.array([3.2]), np.array([0.0]))
