"""Statistical errors: that samples vary as they say, of fixed seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.figures import auc
from sonic.workloads.uncertainties import (
    area,
    central,
    central_of_histogram,
    count_errors,
    deviation,
    efficiency_errors,
    jackknife,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from sonic.framework import Measured

    Floats = NDArray[np.float64]

SHAPES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda random, n: random.normal(5.0, 0.5, n),
    "tails": lambda random, n: 5.0 + 0.5 * random.standard_t(3, n),
    "skew": lambda random, n: 5.0 + random.gamma(2.0, 0.5, n),
}


def covered(found: Collection[Measured], true: float) -> float:
    """Return how often the interval has the truth in it."""
    return float(np.mean([each - each.down <= true <= each + each.up for each in found]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", [30, 300])
def test_medians_and_widths_of_any_shape_vary_as_their_errors_say(shape: str, number: int):
    random = np.random.default_rng(3)
    low, middle, high = np.quantile(SHAPES[shape](random, 1_000_000), [0.16, 0.5, 0.84])
    samples = [central(SHAPES[shape](random, number)) for _ in range(2_000)]
    width = 0.5 * (high - low)
    for name, true in (("median", middle), ("width", width), ("relative", width / middle)):
        found = [getattr(each, name) for each in samples]
        assert np.mean([each.up for each in found]) == pytest.approx(np.std(found), rel=0.15)
        assert covered(found, true) == pytest.approx(0.683, abs=0.06)


def test_a_histogram_has_the_errors_of_its_entries():
    values = np.random.default_rng(1).normal(1.1, 0.2, 2_000)
    counts, edges = np.histogram(values, 4_000, (0, 4))
    one, other = central(values), central_of_histogram(np.concatenate([[0], counts, [0]]), edges)
    assert one == pytest.approx(other, abs=0.002)
    assert [each.up for each in one] == pytest.approx([each.up for each in other], rel=0.05)


def test_few_values_have_figures_and_no_errors():
    assert np.isnan(central([])).all()
    assert np.isnan(central_of_histogram(np.zeros(4), [0.0, 1.0, 2.0])).all()
    few, enough = central([1.0, 2.0, 4.0, 5.0, 9.0]), central([1.0, 2.0, 4.0, 5.0, 9.0, 11.0])
    assert few.median == 4
    assert np.isnan([each.up for each in few]).all()
    assert np.isfinite([each.up for each in enough]).all()
    assert np.isinf(central([-1.0, 0.0, 1.0] * 3).relative)


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


def test_a_share_is_an_efficiency():
    found = share(9, 10)
    assert found == 0.9
    assert [found.down, found.up] == pytest.approx(efficiency_errors(9, 10))
    assert np.isnan(share(0, 0))


@pytest.mark.parametrize(("signal", "background"), [(30, 1_000), (300, 300), (1_000, 30)])
@pytest.mark.parametrize("apart", [0.5, 2.0])
def test_areas_vary_as_their_errors_say(signal: int, background: int, apart: float):
    random = np.random.default_rng(5)
    edges = np.linspace(-6, 9, 1_501)
    found = []
    for _ in range(1_000):
        scores = random.normal(apart, 1, signal), random.normal(0, 1, background)
        found.append(area(*(np.histogram(each, edges)[0] for each in scores)))
    true = auc(random.normal(apart, 1, 300_000), random.normal(0, 1, 300_000))
    assert np.mean([each.up for each in found]) == pytest.approx(np.std(found), rel=0.08)
    assert covered(found, true) == pytest.approx(0.683, abs=0.06)


def test_the_error_of_an_area_is_that_of_the_paper():
    # Structural components by hand: shares of background below each signal, and of signals above each background.
    signal, background = np.array([2, 3, 4]), np.array([0, 1, 2, 3])
    below = np.array([2.5, 3.5, 4.0]) / 4
    above = np.array([3.0, 3.0, 2.5, 1.5]) / 3
    found = area(np.bincount(signal, minlength=5), np.bincount(background, minlength=5))
    assert found == pytest.approx(below.mean())
    assert found.up == pytest.approx(np.sqrt(below.var(ddof=1) / 3 + above.var(ddof=1) / 4))


def test_an_area_of_one_is_not_exact():
    sure, alone, nothing = area([0, 20], [300, 0]), area([1, 0], [0, 5]), area([0, 0], [1, 1])
    assert (sure, sure.up) == (1, 0)
    assert sure.down == pytest.approx(efficiency_errors(20, 20)[0])
    assert (alone, alone.down) == (0, 0)
    assert alone.up > 0.3
    assert np.isnan(nothing)


@pytest.mark.parametrize("shape", ["normal", "skew"])
def test_standard_deviations_vary_as_their_errors_say(shape: str):
    random = np.random.default_rng(6)
    samples = [SHAPES[shape](random, 300) for _ in range(2_000)]
    found = [deviation([np.sum(each**power) for power in range(5)]) for each in samples]
    assert found[0] == pytest.approx(samples[0].std())
    assert np.mean([each.up for each in found]) == pytest.approx(np.std(found), rel=0.1)
    assert np.isnan(deviation(np.zeros(5)))


def test_entries_of_an_event_that_go_together_make_a_figure_as_uncertain_as_it_is():
    random = np.random.default_rng(7)

    def efficiency(parts: Collection[Floats]) -> dict[str, float]:
        passed, number = np.sum(list(parts), axis=0)
        return {"efficiency": passed / number}

    found, naive = [], []
    for _ in range(1_000):
        number = random.poisson(50, 200)
        passed = random.binomial(number, random.beta(4, 1, 200))  # an event is an easy or a difficult one
        parts = [np.array([passed[i::20].sum(), number[i::20].sum()], float) for i in range(20)]
        found.append(jackknife(parts, efficiency)["efficiency"])
        naive.append(share(passed.sum(), number.sum()).up)
    assert np.mean([each.up for each in found]) == pytest.approx(np.std(found), rel=0.1)
    assert covered(found, 0.8) == pytest.approx(0.683, abs=0.06)
    assert np.mean(naive) < 0.5 * np.std(found)


def test_without_parts_to_leave_out_there_is_no_error():
    def mean(parts: Collection[float]) -> dict[str, float]:
        return {"mean": float(np.mean(list(parts)))} | ({"highest": max(parts)} if max(parts) > 2 else {})

    alone, two = jackknife([3.0], mean), jackknife([1.0, 3.0], mean)
    assert (alone["mean"], two["mean"]) == (3, 2)
    assert np.isnan(alone["mean"].up)
    assert two["mean"].up == pytest.approx(1)
    assert np.isnan(two["highest"].up), "it is one part's alone"
