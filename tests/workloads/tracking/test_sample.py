from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import uproot

from sonic.testing.compare import differences
from sonic.workloads.tracking.sample import HITS, OWNER, TRUTH, generate, write_events
from sonic.workloads.tracking.simulation import Beam, events

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_holds_hits_and_truth(tmp_path: Path) -> None:
    made = [*events(2, Beam(particles=8), seed=1), *events(1, Beam(particles=0), seed=2)]
    assert write_events(tmp_path / "events.root", made) == 3
    with uproot.open(tmp_path / "events.root") as file:
        read = file["Events"].arrays()
    for event, row in zip(made, read, strict=True):
        columns = (event.layer, event.phi, event.z_mm, event.particle, *event.tracks)
        for name, column in zip((*HITS, OWNER, *TRUTH), columns, strict=True):
            assert np.array_equal(np.asarray(row[name]), column)


def test_a_seed_gives_the_same_file_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    one, two, other = (tmp_path / f"{name}.root" for name in ("one", "two", "other"))
    assert generate(one, 3, 5, lambda *step: told.append(step), particles=4) == 3
    assert told == [("events", 1, 3), ("events", 2, 3), ("events", 3, 3)]
    generate(two, 3, 5, particles=4)
    generate(other, 3, 6, particles=4)
    assert differences(one, two) == []
    assert differences(one, other) != []


def test_more_events_than_are_written_at_once_and_none(tmp_path: Path) -> None:
    assert generate(tmp_path / "many.root", 103, 1, particles=1, noise=0.0, efficiency=1.0) == 103
    assert generate(tmp_path / "none.root", 0, 1) == 0
    with uproot.open(tmp_path / "many.root") as many, uproot.open(tmp_path / "none.root") as none:
        assert len(many["Events"]["Hit_phi"].array()[102]) == 10
        assert none["Events"].num_entries == 0
