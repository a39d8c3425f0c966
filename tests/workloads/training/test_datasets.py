from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.features import MAX_JET_ETA
from sonic.workloads.simulation import sample
from sonic.workloads.simulation.pileup import add_pile_up
from sonic.workloads.simulation.processes import PROCESSES
from sonic.workloads.simulation.pythia import Particles
from sonic.workloads.training.datasets import SEEN, jets_of, load, make_blocks, met_of, plan

if TYPE_CHECKING:
    from pathlib import Path


def test_events_are_divided_by_the_shares():
    blocks = plan(10_000, "tagger_share")
    train = {p.name: sum(b.events for b in blocks if b.process is p and b.role == "train") for p in PROCESSES}
    assert sum(train.values()) == pytest.approx(10_000, abs=20)
    assert train["tt"] / train["qcd_400"] == pytest.approx(4 / 1.5, rel=0.01)
    assert train["znunu_20"] == 0
    assert sum(b.events for b in blocks if b.role == "test") == pytest.approx(2_500, abs=20)
    assert max(b.events for b in blocks) <= 400
    assert len({b.name for b in blocks}) == len(blocks)


def test_too_few_events():
    with pytest.raises(ConfigError, match="3 events are too few for 13 processes"):
        plan(3, "met_share")


def test_the_pile_up_that_is_spoken_of_is_that_of_the_events():
    particle = Particles(*(np.zeros(1, int if i in (0, 1, 2, 10) else float) for i in range(11)))
    random = np.random.default_rng(1)
    _, added = add_pile_up(particle, 20_000, particle, sample.PILE_UP_MEAN, sample.PILE_UP_SPREAD, random)
    assert f"with {added.mean():.0f} more collisions" in SEEN


def test_no_blocks():
    with pytest.raises(ConfigError, match="no blocks"):
        load([])


def test_jets_are_central_and_labelled(generated: ak.Array):
    arrays = jets_of(generated, np.random.default_rng(0))
    assert len(arrays["label"]) == len(arrays["pf_mask"]) > 20
    assert np.abs(arrays["eta"]).max() < MAX_JET_ETA
    assert (arrays["label"] == 0).sum() > 10, "top quarks decay to b"
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_candidates_are_kept_without_padding(generated: ak.Array):
    arrays = met_of(generated, np.random.default_rng(0))
    assert arrays["counts"].sum() == len(arrays["input"]) == len(arrays["categories"])
    assert len(arrays["counts"]) == len(generated)
    assert np.hypot(*arrays["true"].T) == pytest.approx(np.asarray(generated.GenMET_pt), rel=1e-4, abs=1e-3)


def test_blocks_that_are_kept_are_of_their_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A training that was interrupted and begins again with another seed has that one's events."""
    monkeypatch.setattr(sample, "simulate", lambda _process, events, seed, _block: ak.Array([seed] * events))
    blocks = plan(100, "tagger_share")
    for seed in (7, 8, 7):
        made = load(make_blocks(blocks, lambda events, _: {"seed": events.to_numpy()}, seed, tmp_path, 1, lambda *_: 0))
        assert set(made["seed"].tolist()) == {seed}


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_process")
def test_blocks_are_the_same_from_any_number_of_processes_and_are_made_once(tmp_path: Path):
    blocks = plan(8, "tagger_share", block_events=4)
    assert [(b.events, b.role) for b in blocks] == [(4, "train"), (4, "train"), (2, "test")]
    seen: list[tuple[str, int, int]] = []
    alone = make_blocks(blocks, jets_of, 7, tmp_path / "a", 1, lambda *report: seen.append(report))
    assert seen == [("events", done, 10) for done in (0, 4, 8, 10)]
    together = make_blocks(blocks, jets_of, 7, tmp_path / "b", 2, lambda *_: None)
    one, two = load(alone), load(together)
    for name in one.keys() - {"seconds"}:
        assert np.array_equal(one[name], two[name]), name

    seen.clear()
    written = [file.stat().st_mtime_ns for file in alone]
    make_blocks(blocks, jets_of, 7, tmp_path / "a", 1, lambda *report: seen.append(report))
    assert seen == [("events", 10, 10)]
    assert [file.stat().st_mtime_ns for file in alone] == written
