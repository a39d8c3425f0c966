from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.workloads.simulation.detector import FIELD_T, detect, impact
from sonic.workloads.simulation.pythia import Particles, concatenate


@given(
    d0=st.floats(-2, 2),
    dz=st.floats(-5, 5),
    phi0=st.floats(-3, 3),
    pt=st.floats(0.5, 500),
    eta=st.floats(-2.4, 2.4),
    charge=st.sampled_from([-1, 1]),
    path=st.floats(0, 20),
)
def test_impact_parameters_are_those_of_the_helix(
    d0: float, dz: float, phi0: float, pt: float, eta: float, charge: int, path: float
):
    # From the point of closest approach, follow the circle for some way; a positive charge turns clockwise.
    radius = pt / (0.003 * FIELD_T)
    turned = phi0 - charge * path / radius
    x = -d0 * np.sin(phi0) + charge * radius * (np.sin(phi0) - np.sin(turned))
    y = d0 * np.cos(phi0) - charge * radius * (np.cos(phi0) - np.cos(turned))
    columns = {
        "event": 0,
        "pdg_id": 211 * charge,
        "charge": charge,
        "px": pt * np.cos(turned),
        "py": pt * np.sin(turned),
        "pz": pt * np.sinh(eta),
        "energy": pt * np.cosh(eta),
        "vx": x,
        "vy": y,
        "vz": dz + path * np.sinh(eta),
        "collision": 0,
    }
    particle = Particles(**{name: np.array([value]) for name, value in columns.items()})
    found_d0, found_dz, found_phi = impact(particle)
    assert found_d0[0] == pytest.approx(d0, abs=1e-6)
    assert found_dz[0] == pytest.approx(dz, abs=1e-6)
    assert np.cos(found_phi[0] - phi0) == pytest.approx(1.0)


def test_prompt_tracks_are_measured_within_their_errors(make_particles):
    n = 4000
    particles = make_particles(n, charge=1, pt=5.0, eta=np.linspace(-2, 2, n), event=np.arange(n))
    seen = detect(particles, np.random.default_rng(0))
    tracks = seen[seen.charge != 0]
    assert 0.9 < len(tracks) / n < 0.95
    assert np.std(tracks.pt / 5.0) == pytest.approx(0.01, rel=0.1)
    for value, error in ((tracks.d0, tracks.d0_error), (tracks.dz, tracks.dz_error)):
        low, high = np.percentile(value / error, [16, 84])
        assert (high - low) / 2 == pytest.approx(1.0, abs=0.1)
    assert np.median(tracks.d0_error) == pytest.approx(22e-4, rel=0.3)
    assert tracks.primary.all()
    # What left no track is a neutral hadron if it leaves enough energy.
    assert set(np.unique(np.abs(seen.pdg_id))) == {130, 211}
    assert (seen.source[seen.charge == 0] == -1).all()
    assert np.array_equal(particles.event[tracks.source], tracks.event)


def test_soft_tracks_have_no_details(make_particles):
    seen = detect(make_particles(500, charge=-1, pt=0.4, event=np.arange(500)), np.random.default_rng(0))
    tracks = seen[seen.charge != 0]
    assert len(tracks) > 300
    assert (tracks.pdg_id == -211).all()
    for values in (tracks.d0, tracks.dz, tracks.d0_error, tracks.dz_error, tracks.chi2):
        assert (values == -1).all()


@pytest.mark.parametrize(
    ("pdg_id", "eta", "kind", "resolution"),
    [
        (22, 0.5, 22, np.sqrt(0.028**2 / 300 + (0.12 / 300) ** 2 + 0.003**2)),
        (130, 0.5, 130, np.hypot(1.1 / np.sqrt(300), 0.09)),
        (2112, 4.0, 1, np.hypot(1.98 / np.sqrt(0.95 * 300), 0.09)),
        (22, 4.0, 2, np.hypot(2.8 / np.sqrt(0.75 * 300), 0.11)),
    ],
)
def test_calorimeter_energies(make_particles, pdg_id: int, eta: float, kind: int, resolution: float):
    n = 4000
    particles = make_particles(n, pdg_id=pdg_id, pt=300 / np.cosh(eta), eta=eta, event=np.arange(n))
    seen = detect(particles, np.random.default_rng(0))
    assert (seen.pdg_id == kind).all()
    energy = seen.pt * np.cosh(seen.eta)
    assert energy.std() / energy.mean() == pytest.approx(resolution, rel=0.1)


def test_what_no_detector_sees(make_particles):
    unseen = concatenate(
        [
            make_particles(5, pdg_id=14, pt=50.0),
            make_particles(5, pdg_id=22, pt=1.0, eta=5.6),
            make_particles(5, pdg_id=13, charge=-1, pt=20.0, eta=4.0),
        ]
    )
    assert len(detect(unseen, np.random.default_rng(0))) == 0


def test_muons_and_electrons_keep_their_kind_above_3_gev(make_particles):
    for code, charge in ((13, -1), (-13, 1), (11, -1)):
        particles = make_particles(50, pdg_id=code, charge=charge, pt=20.0, event=np.arange(50))
        tracks = detect(particles, np.random.default_rng(0))
        tracks = tracks[tracks.charge != 0]
        assert (tracks.pdg_id == code).all()
        assert (tracks.charge == charge).all()


def test_pile_up_is_told_by_its_vertex(make_particles):
    hard = make_particles(200, charge=1, pt=3.0, eta=np.linspace(-2, 2, 200))
    pile_up = make_particles(200, charge=1, pt=3.0, eta=np.linspace(-2, 2, 200), vz=4.0, collision=1)
    particles = concatenate([hard, pile_up])
    tracks = detect(particles, np.random.default_rng(0))
    tracks = tracks[tracks.charge != 0]
    own = particles.collision[tracks.source] == 0
    assert tracks.primary[own].mean() > 0.97
    assert tracks.primary[~own].mean() < 0.03


def test_a_collision_is_where_its_particles_are_made_nearest_to_the_beam(make_particles):
    hard = make_particles(200, charge=1, pt=3.0, eta=np.linspace(-2, 2, 200))
    pile_up = make_particles(200, charge=1, pt=3.0, eta=np.linspace(-2, 2, 200), vz=4.0, collision=1)
    decayed = make_particles(1, charge=1, pt=3.0, vx=2.0, vz=0.0, collision=1)
    particles = concatenate([hard, pile_up, decayed])
    tracks = detect(particles, np.random.default_rng(0))
    tracks = tracks[tracks.charge != 0]
    assert tracks.primary[np.isin(tracks.source, np.arange(200, 400))].mean() < 0.03


def test_deposits_in_one_cell_are_one_candidate(make_particles):
    together = make_particles(2, pdg_id=22, pt=20.0, eta=[0.101, 0.104], phi=[0.101, 0.103])
    apart = make_particles(2, pdg_id=22, pt=20.0, eta=[0.1, 0.2])
    assert len(detect(together, np.random.default_rng(0))) == 1
    assert len(detect(apart, np.random.default_rng(0))) == 2


def test_hadrons_in_cells_of_two_sizes_are_apart(make_particles):
    # Both in the eleventh cell from the middle, of those at their places.
    seen = detect(make_particles(2, pdg_id=130, pt=100.0, eta=[1.5, 1.95], phi=0.05), np.random.default_rng(0))
    assert sorted(seen.eta) == pytest.approx([1.5, 1.95])


def test_candidates_are_ordered_by_event_and_momentum(make_particles):
    rng = np.random.default_rng(0)
    particles = make_particles(300, pdg_id=22, pt=rng.uniform(1, 50, 300), eta=rng.uniform(-1, 1, 300))
    parts = [particles, make_particles(20, pdg_id=22, pt=5.0, eta=np.linspace(-1, 1, 20), event=3)]
    seen = detect(concatenate(parts), rng)
    assert (np.diff(seen.event) >= 0).all()
    assert (np.diff(seen.pt[seen.event == 0]) <= 0).all()
    assert len(detect(particles[:0], rng)) == 0
