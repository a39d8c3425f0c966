from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.workloads.figures import (
    auc,
    auc_of_histograms,
    count_errors,
    efficiency_errors,
    median_error,
    met_resolution,
    resolution_in_bins,
    roc,
    width_error,
    width_of_histogram,
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
    assert np.isnan(width_of_histogram([0, 0, 0], [0, 1]))


def test_errors_are_how_samples_vary():
    samples = np.random.default_rng(3).normal(2.0, 0.5, (20_000, 200))
    low, middle, high = np.percentile(samples, [16, 50, 84], axis=1)
    assert median_error(0.5, 200) == pytest.approx(middle.std(), rel=0.03)
    assert width_error(0.5, 200) == pytest.approx((0.5 * (high - low)).std(), rel=0.03)


@pytest.mark.parametrize("efficiency", [0.5, 0.9, 0.99])
def test_intervals_of_efficiencies_hold_the_truth_as_often_as_they_say(efficiency: float):
    passed = np.random.default_rng(4).binomial(300, efficiency, 20_000)
    down, up = efficiency_errors(passed, np.full(len(passed), 300))
    held = (passed / 300 - down <= efficiency) & (efficiency <= passed / 300 + up)
    assert held.mean() == pytest.approx(0.683, abs=0.08)  # whole numbers jump


def test_efficiencies_of_none_and_all_have_errors():
    down, up = efficiency_errors([0, 10, 0], [10, 10, 0])
    assert down[0] == 0 < up[0] < 0.15
    assert up[1] == 0 < down[1] < 0.15
    assert np.isnan([down[2], up[2]]).all()


def test_counts_vary_as_their_errors_say():
    down, up = count_errors([0, 1, 100])
    assert down == pytest.approx([0, 0.83, 10], abs=0.05)
    assert up == pytest.approx([1.84, 2.30, 11.0], abs=0.05)  # as in the table of the paper


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


def test_width_of_a_histogram_is_that_of_its_entries():
    values = np.random.default_rng(0).normal(3, 20, 50_000)
    counts, edges = np.histogram(values, np.arange(-100, 101.0))
    with_flow = np.concatenate([[(values < -100).sum()], counts, [(values >= 100).sum()]])
    low, high = np.percentile(values, [16, 84])
    assert width_of_histogram(with_flow, edges) == pytest.approx((high - low) / 2, rel=0.01)
