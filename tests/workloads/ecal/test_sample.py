from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError, OutputError
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.sample import generate
from sonic.workloads.ecal.simulation import electrons
from sonic.workloads.ecal.workflow import cluster_images

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_holds_the_simulated_electrons(tmp_path: Path):
    seen = []
    number = generate(tmp_path / "e.root", 20, seed=4, progress=lambda *step: seen.append(step), electrons_mean=1.5)
    assert number == 20
    with uproot.open(tmp_path / "e.root") as file:
        events = file["Events"].arrays()
    counts = np.asarray(ak.num(events.Cluster_ieta))
    assert len(events) == 20
    assert (counts == 0).any()
    assert seen[-1] == ("electrons", counts.sum(), counts.sum())
    made = electrons(int(counts.sum()), seed=4)
    assert np.array_equal(ak.flatten(events.GenElectron_energy), made.energy_gev)
    assert np.array_equal(cluster_images(events), draw(made))


def test_events_without_any_electron_can_be_written(tmp_path: Path):
    assert generate(tmp_path / "none.root", 3, seed=1, electrons_mean=0.0) == 3
    with uproot.open(tmp_path / "none.root") as file:
        assert ak.num(file["Events"]["Cluster_ieta"].array()).tolist() == [0, 0, 0]


def test_what_makes_no_sense_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"given 0 and 2\.0"):
        generate(tmp_path / "e.root", 0, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*e\.root"):
        generate(tmp_path / "file" / "e.root", 1, seed=1, electrons_mean=0.0)
