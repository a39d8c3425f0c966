from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.lartpc.patches import cut, images
from sonic.workloads.lartpc.performance import sums
from sonic.workloads.lartpc.plots import event_display, particle_scores, patch_gallery, score_histograms
from sonic.workloads.lartpc.simulation import Hits, Pixels
from sonic.workloads.lartpc.stored import ParticleScores

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Event


def _drawn(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=40)  # matplotlib complains about what it cannot draw when it draws


def test_an_event_is_drawn_with_all_its_hits(simulated: list[Event], tmp_path: Path) -> None:
    event = simulated[0]
    nobody = np.zeros(len(event.kind), bool)
    unknown = np.full(len(event.kind), -1)
    for panels, shown in (
        ({"truth": (event.kind, event.michel)}, 2),
        ({"truth": (event.kind, event.michel), "found": (unknown, nobody)}, 3),
    ):
        figure = event_display(event.pixels, event.hits, panels)
        axes = [one for one in figure.axes if one.get_visible() and one.get_xlabel() == "wire"]
        assert [one.get_title() for one in axes] == ["charge, plane W", *panels]
        assert len(axes) == shown
        drawn = sum(len(points.get_offsets()) for points in axes[1].collections)
        assert drawn == (event.hits.plane == 2).sum()
        _drawn(figure, tmp_path / "event.png")
    assert sum(len(points.get_offsets()) for points in axes[2].collections) == 0


def test_an_empty_event_is_drawn(tmp_path: Path) -> None:
    none, nobody = np.empty(0, np.int64), np.empty(0, bool)
    pixels, hits = (
        Pixels(none, none, none, np.empty(0, np.float32)),
        Hits(none, none, none * 1.0, none * 1.0, none * 1.0),
    )
    _drawn(event_display(pixels, hits, {"truth": (none, nobody)}), tmp_path / "empty.png")


def test_patches_are_drawn(simulated: list[Event], chamber: Chamber, tmp_path: Path) -> None:
    event = simulated[0]
    image = list(images(event.pixels, chamber))[2]
    mine = np.flatnonzero(event.hits.plane == 2)[:2]
    figure = patch_gallery(cut(image, event.hits.wire[mine], event.hits.sample[mine]), ["one", "two"])
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    _drawn(figure, tmp_path / "patches.png")


def test_scores_are_drawn_each_part_by_itself(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    scores = random.dirichlet([1, 1, 1], 300)
    kind = random.integers(3, size=300)
    total = sums(kind, kind == 1, scores, scores[:, 1], scores[:, 0], kind)
    figure = score_histograms(total)
    assert [axes.get_xlabel() for axes in figure.axes] == ["track score", "em score", "michel score", "straightness"]
    for axes in figure.axes:
        for stairs in axes.patches:
            assert stairs.get_data().values.sum() == pytest.approx(1)
    _drawn(figure, tmp_path / "scores.png")


def test_particles_scores_are_drawn_sample_beside_sample(tmp_path: Path) -> None:
    ours = ParticleScores(np.array([0.9, 0.1]), np.array([0.1, 0.9]), np.array([0.0, 0.5]), np.array([10, 20]))
    nobody = ParticleScores(*(np.empty(0) for _ in range(3)), np.empty(0, np.int64))
    figure = particle_scores({"ours": ours, "none": nobody})
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["ours (2)", "none (0)"]
    assert figure.axes[0].patches[0].get_data().values.sum() == pytest.approx(1)
    assert not figure.axes[0].patches[1].get_data().values.any()
    _drawn(figure, tmp_path / "particles.png")
