from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.workloads.figures import (
    auc,
    auc_of_histograms,
    met_resolution,
    quantiles_of_histogram,
    resolution_in_bins,
    roc,
)

scores = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@given(scores, scores)
def test_auc_is_the_share_of_pairs_in_order(signal: list[int], background: list[int]):
    pairs = [1.0 if s > b else 0.5 if s == b else 0.0 for s in signal for b in background]
    assert auc(signal, background) == pytest.approx(np.mean(pairs))
    counts = [np.bincount(values, minlength=10) for values in (signal, background)]
    assert auc_of_histograms(*counts) == pytest.approx(np.mean(pairs))


def test_roc_runs_from_corner_to_corner():
    efficiency, mistag = roc([0.9, 0.4], [0.5, 0.1])
    assert efficiency.tolist() == [0, 0.5, 0.5, 1, 1]
    assert mistag.tolist() == [0, 0, 0.5, 0.5, 1]


def test_without_entries_there_is_no_figure():
    assert np.isnan(auc([], [1.0]))
    assert np.isnan(auc_of_histograms([0, 0], [1, 2]))
    assert np.isnan(quantiles_of_histogram([0, 0, 0], [0, 1], [0.5])).all()


def test_resolution_of_a_gaussian_with_response():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 60, (40_000, 2))
    found = met_resolution(0.9 * true + rng.normal(0, 10, true.shape), true)
    assert found.response == pytest.approx(0.9, abs=0.01)
    assert found.bias_gev == pytest.approx(-0.1 * np.hypot(*true.T)[np.hypot(*true.T) > 20].mean(), rel=0.05)
    assert found.width_gev == pytest.approx(np.hypot(10, 6), rel=0.03)
    widths, responses = resolution_in_bins(true, true, [0, 50, 100, 10_000, 20_000])
    assert widths[:3].tolist() == [0, 0, 0]
    assert np.isnan(widths[3])
    assert responses[1:3] == pytest.approx([1, 1])


def test_without_true_missing_momentum_there_is_a_width_but_no_response():
    found = met_resolution(np.array([[3.0, -3.0], [1.0, 2.0]]), np.zeros((2, 2)))
    assert found.width_gev > 0
    assert np.isnan(found.response)
    assert np.isnan(found.bias_gev)


def test_quantiles_of_a_histogram_are_those_of_its_entries():
    values = np.random.default_rng(0).normal(3, 20, 50_000)
    counts, edges = np.histogram(values, np.arange(-100, 101.0))
    with_flow = np.concatenate([[(values < -100).sum()], counts, [(values >= 100).sum()]])
    wanted = [0.16, 0.5, 0.84]
    assert quantiles_of_histogram(with_flow, edges, wanted) == pytest.approx(np.quantile(values, wanted), abs=0.1)
    all_beyond = np.array([0, 0, 0, 5])
    assert quantiles_of_histogram(all_beyond, [0.0, 1.0, 2.0], [0.1]).tolist() == [2.0]
