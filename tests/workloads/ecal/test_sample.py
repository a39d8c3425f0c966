from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.errors import ConfigError, OutputError
from sonic.workloads import eventfile
from sonic.workloads.ecal import sample, simulation
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.sample import branches, generate
from sonic.workloads.ecal.simulation import electrons, join, parted
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


def test_many_events_are_those_of_all_electrons_and_take_the_room_of_few(tmp_path: Path, monkeypatch: Any):
    held = []
    monkeypatch.setattr(simulation, "BLOCK", 7)
    monkeypatch.setattr(eventfile, "BLOCK_EVENTS", 4)
    monkeypatch.setattr(sample, "branches", lambda made, counts: held.append(len(made)) or branches(made, counts))
    assert generate(tmp_path / "e.root", 30, seed=4) == 30
    with uproot.open(tmp_path / "e.root") as file:
        events = file["Events"].arrays()
    made = electrons(int(ak.sum(ak.num(events.Cluster_ieta))), seed=4)
    assert np.array_equal(ak.flatten(events.GenElectron_energy), made.energy_gev)
    assert np.array_equal(ak.flatten(events.Cell_energy), made.cell_gev)
    assert np.array_equal(cluster_images(events), draw(made))
    assert sum(held) == len(made)
    assert max(held) < len(made) / 3


def test_clusters_are_parted_and_put_together_again():
    made = electrons(5, seed=9)
    for number in range(6):
        first, rest = parted(made, number)
        assert (len(first), len(rest)) == (number, 5 - number)
        for name in ("energy_gev", "cluster", "cell_gev"):
            column = getattr(join([first, rest]), name)
            assert np.array_equal(column, getattr(made, name))
            assert column.dtype == getattr(made, name).dtype == getattr(join([]), name).dtype


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
