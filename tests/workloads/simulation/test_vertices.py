from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.simulation.detector import detect
from sonic.workloads.simulation.pythia import concatenate
from sonic.workloads.simulation.vertices import MIN_SIGNIFICANCE, secondary_vertices


@pytest.fixture
def decay(make_particles):
    """Five tracks from a decay 4 mm away along x, ten prompt ones, and another event without any."""

    def make(event: int, length_cm: float = 0.4):
        spread = {"eta": np.linspace(-0.1, 0.1, 5), "phi": np.array([0.1, -0.1, 0.05, -0.05, 0.08])}
        return concatenate(
            [
                make_particles(5, charge=1, pt=5.0, event=event, vx=length_cm, **spread),
                make_particles(10, charge=-1, pt=5.0, event=event, eta=np.linspace(-2, 2, 10), phi=2.0),
            ]
        )

    return make


def found(particles, events: int, seed: int = 0) -> ak.Array:
    rng = np.random.default_rng(seed)
    return secondary_vertices(detect(particles, rng), particles, events, rng)


def test_a_decay_is_found_where_it_was(decay):
    vertices = found(concatenate([decay(i) for i in range(40)]), 40)
    real = vertices[vertices.ntracks > 2]
    assert ak.mean(ak.num(real)) > 0.8
    flat = ak.flatten(real)
    assert np.median(flat.dxy) == pytest.approx(0.4, abs=0.02)
    assert np.median(flat.phi) == pytest.approx(0.016, abs=0.05)
    assert ak.min(flat.dlenSig) >= MIN_SIGNIFICANCE
    pull = np.asarray((flat.dlen - 0.4) * flat.dlenSig / flat.dlen)
    assert np.std(pull) == pytest.approx(1.0, abs=0.4)
    assert ak.all(flat.mass < 3.0)


def test_prompt_tracks_make_few_vertices(make_particles):
    prompt = concatenate(
        [make_particles(10, charge=1, pt=5.0, event=i, eta=np.linspace(-0.4, 0.4, 10)) for i in range(100)]
    )
    assert 0 < ak.sum(ak.num(found(prompt, 100))) < 30


def test_one_track_is_no_vertex_and_no_tracks_are_none(decay, make_particles):
    single = make_particles(1, charge=1, pt=5.0, vx=0.4)
    assert ak.num(found(single, 2)).tolist() == [0, 0]
    assert ak.num(found(single[:0], 2)).tolist() == [0, 0]


def test_close_decays_are_one_vertex(make_particles):
    near = concatenate(
        [
            make_particles(3, charge=1, pt=5.0, vx=0.40, eta=[0, 0.1, 0.2], phi=[0.1, -0.1, 0]),
            make_particles(3, charge=1, pt=5.0, vx=0.43, eta=[0, 0.1, 0.2], phi=[0.2, -0.2, 0.05]),
        ]
    )
    assert max(ak.max(found(near, 1, seed).ntracks, initial=0) for seed in range(5)) > 3
