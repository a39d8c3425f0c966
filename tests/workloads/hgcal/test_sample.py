from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError
from sonic.workloads.hgcal.sample import HITS, TRUTH, generate, read_event, write_events
from sonic.workloads.hgcal.simulation import Beam, events

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_is_read_as_it_was(tmp_path: Path):
    made = [*events(3, seed=7), *events(1, Beam(0, 0, noise_hits=0), seed=8)]
    assert write_events(tmp_path / "showers.root", made) == 4
    with uproot.open(tmp_path / "showers.root") as file:
        rows = file["Events"].arrays([*HITS, *TRUTH])
        hits_alone = file["Events"].arrays(HITS)
    for row, one in zip(rows, made, strict=True):
        again = read_event(row)
        assert all(np.array_equal(a, b) for a, b in zip(again.hits, one.hits, strict=True))
        for name in ("shower", "fraction", "kind", "true_gev", "entry_cm"):
            assert np.array_equal(getattr(again, name), getattr(one, name)), name
    unknown = read_event(hits_alone[0])
    assert (len(unknown), len(unknown.kind)) == (len(made[0]), 0)
    assert (unknown.shower == -1).all()


def test_the_same_seed_gives_the_same_file_and_progress_is_told(tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    assert generate(tmp_path / "a.root", 2, 3, lambda *report: told.append(report), max_particles=3, noise=5.0) == 2
    assert told == [("events", 1, 2), ("events", 2, 2)]
    generate(tmp_path / "b.root", 2, 3, max_particles=3, noise=5.0)
    with uproot.open(tmp_path / "a.root") as a, uproot.open(tmp_path / "b.root") as b:
        one, other = (file["Events"].arrays(HITS, library="np") for file in (a, b))
    assert all(np.array_equal(x, y) for name in HITS for x, y in zip(one[name], other[name], strict=True))


def test_options_that_make_no_sense(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"energy_gev from 50\.0 to 30\.0"):
        generate(tmp_path / "c.root", 1, 1, min_energy=50.0)
