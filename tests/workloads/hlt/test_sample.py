from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.framework.options import options
from sonic.testing.compare import differences
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.pulse import decode
from sonic.workloads.hlt.sample import calibration, charged, generate, pack, unpack
from sonic.workloads.tracking.helix import D0, QPT, Z0

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonic.workloads.simulation.pythia import Particles


def test_codes_are_packed_and_unpacked(rng: np.random.Generator) -> None:
    codes = rng.integers(0, 256, (100, 8)).astype(np.uint8)
    assert (unpack(pack(codes)) == codes).all()
    assert pack(np.array([[1, 2, 0, 0, 0, 0, 0, 0]], np.uint8)).tolist() == [1 + 2 * 256]
    assert unpack(pack(codes[:0])).shape == (0, 8)


def test_all_detectors_see_the_same_jets(hlt_events: ak.Array) -> None:
    assert ak.num(hlt_events.Digi_channel).tolist() == [len(channels())] * 4
    charge = decode(unpack(np.asarray(hlt_events.Digi_slices[0]))) - calibration().pedestal_fc[:, None]
    transverse = charge[:, 3:5].sum(axis=1) * calibration().gain_gev / np.cosh(channels().eta)
    for eta, phi in zip(hlt_events.GenJet_eta[0][:2], hlt_events.GenJet_phi[0][:2], strict=True):
        apart = np.angle(np.exp(1j * (channels().phi - phi)))
        near = np.hypot(channels().eta - eta, apart) < 0.4
        assert transverse[near].mean() > 3 * transverse[~near].mean()
    hard = np.asarray(hlt_events.Particle_hard[0])
    tracks = np.asarray(hlt_events.Particle_phi[0])[hard]
    near = np.abs(np.angle(np.exp(1j * (tracks[:, None] - np.asarray(hlt_events.GenJet_phi[0]))))).min(axis=1) < 0.5
    assert near.mean() > 0.7


def test_an_event_of_nothing_has_noise_alone(hlt_events: ak.Array) -> None:
    last = hlt_events[-1]
    assert len(last.GenJet_pt) == len(last.Hit_phi) == len(last.Particle_phi) == 0
    assert last.GenMET_pt == 0
    assert last.event == 3


def test_a_file_depends_on_the_seed(tmp_path: Path) -> None:
    pytest.importorskip("fastjet")
    seen = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        progress = seen.append if name == "a" else None
        note = None if progress is None else lambda *steps: seen.append(steps)
        assert generate(tmp_path / f"{name}.root", 1, seed, note, process="drawn", pileup=0.0) == 1
    assert differences(tmp_path / "a.root", tmp_path / "b.root") == []
    assert differences(tmp_path / "a.root", tmp_path / "c.root") != []
    assert seen == [("events", 1, 1)]


def test_tracks_begin_where_particles_do(particle: Callable[..., Particles]) -> None:
    made = particle(211, 1, 5.0, 0.4, 0.0)
    (straight,) = charged(made, 12.0).T
    assert straight[D0] == pytest.approx(0)
    assert straight[Z0] == pytest.approx(12.0)
    assert straight[QPT] == pytest.approx(0.2)
    made.vy[:] = 0.2  # cm
    (displaced,) = charged(made, 0.0).T
    assert displaced[D0] == pytest.approx(2.0, rel=0.01)
    made.vy[:] = 5.0  # behind the first layer
    assert charged(made, 0.0).shape == (5, 0)


def test_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected 1 event or more and a pileup of 0 or more, given 0 and 50"):
        generate(tmp_path / "a.root", 0, 1)
    with pytest.raises(ConfigError, match="no process 'ttt'"):
        generate(tmp_path / "a.root", 1, 1, process="ttt")
    assert not (tmp_path / "a.root").exists()
    assert [option.name for option in options(generate)] == ["process", "pileup"]
