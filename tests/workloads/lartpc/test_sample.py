from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import uproot

from sonic.workloads.lartpc.sample import generate, write_events

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.workloads.lartpc.simulation import Event


def test_a_file_has_the_events(simulated: list[Event], tmp_path: Path) -> None:
    file = tmp_path / "events.root"
    assert write_events(file, simulated) == len(simulated)
    with uproot.open(file) as opened:
        tree = opened["Events"]
        assert {"nPixel", "nHit", "nParticle"} <= set(tree.keys())
        read = tree.arrays()
    for event, row in zip(simulated, read, strict=True):
        assert np.array_equal(np.asarray(row.Hit_wire), event.hits.wire)
        assert np.array_equal(np.asarray(row.Hit_particle), event.particle)
        assert np.array_equal(np.asarray(row.Pixel_charge), event.pixels.charge_ke)
        assert np.array_equal(np.asarray(row.Particle_michel), event.particles.michel)


def test_generating_is_seeded_and_says_how_far_it_is(tmp_path: Path) -> None:
    done: list[tuple[str, int, int]] = []
    nothing = {"through": 0.0, "stopping": 0.0, "pions": 0.0, "protons": 1.0, "showers": 0.0}
    for name in ("a", "b"):
        assert generate(tmp_path / name, 2, 5, lambda *at: done.append(at), **nothing) == 2
    assert done[:2] == [("events", 1, 2), ("events", 2, 2)]
    with uproot.open(tmp_path / "a") as one, uproot.open(tmp_path / "b") as other:
        hits = [file["Events"]["Hit_charge"].array() for file in (one, other)]
        kinds = one["Events"]["Particle_pdgId"].array()
    assert hits[0].tolist() == hits[1].tolist()
    assert hits[0][0].tolist() != hits[0][1].tolist()
    assert {number for event in kinds for number in event} <= {2212}


def test_a_file_of_no_events(tmp_path: Path) -> None:
    assert write_events(tmp_path / "none.root", []) == 0
    with uproot.open(tmp_path / "none.root") as file:
        assert file["Events"].num_entries == 0
