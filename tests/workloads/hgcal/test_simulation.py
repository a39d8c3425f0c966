from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.simulation import Beam, events

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


def test_the_same_seed_gives_the_same_events(showers: list[Event]):
    again = events(20, seed=101)
    for one, other in zip(showers, again, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one.hits, other.hits, strict=True))
        assert one.shower.tobytes() == other.shower.tobytes()
    assert events(1, seed=103)[0].hits.energy_mip.tobytes() != again[0].hits.energy_mip.tobytes()


def test_events_have_some_hundred_hits_and_their_truth(showers: list[Event]):
    assert 150 < np.mean([len(each) for each in showers]) < 600
    for each in showers:
        assert 2 <= len(each.kind) == len(each.true_gev) == each.entry_cm.shape[1] <= 5
        assert each.hits.energy_mip.min() > 0.5
        assert each.hits.usable().all()
        cells = np.stack([each.hits.layer, *ENDCAP.cells(each.hits.x_cm, each.hits.y_cm)])
        assert np.unique(cells, axis=1).shape[1] == len(each), "a cell is measured once"
        noise = each.shower < 0
        assert 0 < noise.sum() < 60
        assert not each.fraction[noise].any()
        assert (each.fraction[~noise] >= 1 / len(each.kind)).all()
        assert each.fraction.max() <= 1 + 1e-9


def test_showers_that_overlap_share_cells():
    close = Beam(4, 4, spread_cm=1.0, noise_hits=0)
    (made,) = events(1, close, seed=3)
    assert (made.fraction < 0.99).mean() > 0.1
    (apart,) = events(1, Beam(4, 4, spread_cm=60.0, noise_hits=0), seed=3)
    assert (apart.fraction < 0.99).mean() < 0.05


def test_a_shower_is_where_its_particle_enters(lone_photons: list[Event]):
    for each in lone_photons:
        middle = [np.average(across, weights=each.hits.energy_mip) for across in each.hits.projected()]
        assert np.hypot(*(middle - each.entry_cm[:, 0])) < 1


def test_some_thousand_hits():
    (made,) = events(1, Beam(40, 40, spread_cm=60.0), seed=4)
    assert 2000 < len(made) < 8000


def test_noise_alone_and_nothing_at_all():
    (noise,) = events(1, Beam(0, 0, noise_hits=30.0), seed=5)
    assert len(noise) > 10
    assert (noise.shower == -1).all()
    (nothing,) = events(1, Beam(0, 0, noise_hits=0.0), seed=6)
    assert len(nothing) == 0
    assert nothing.entry_cm.shape == (2, 0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"shares": (1.0,)}, "shares are of photon, electron"),
        ({"min_particles": 3, "max_particles": 2}, "particles from 3 to 2"),
        ({"min_energy_gev": 0.0}, "energy_gev from 0.0 to 30.0"),
        ({"min_eta": 0.0}, "eta from 0.0 to 2.7"),
        ({"spread_cm": -1.0}, "are 0 or more"),
        ({"noise_mip": -0.1}, "are 0 or more"),
        ({"threshold_mip": float("nan")}, "are 0 or more"),
    ],
)
def test_beams_that_make_no_sense(wrong: dict[str, object], text: str):
    with pytest.raises(ConfigError, match=text):
        Beam(**wrong)  # type: ignore[arg-type]
