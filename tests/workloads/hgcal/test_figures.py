from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hgcal.figures import in_bins, outcome, spread, summary, total

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


def test_the_truths_own_groups_are_all_found_with_about_their_energies(showers: list[Event]):
    found = total(outcome(each, each.shower) for each in showers)
    assert found.efficiency == 1
    assert found.fake_rate < 0.05, "those of too few hits"
    figures = summary(found)
    assert figures["electromagnetic"]["response"] == pytest.approx(1, abs=0.05)
    assert figures["electromagnetic"]["resolution"] < figures["hadronic"]["resolution"]
    assert sum(figures["by_distance_cm"]["number"]) <= figures["showers"]
    json.dumps(figures, allow_nan=False)


def test_hits_that_cannot_be_used_are_left_out(showers: list[Event]):
    made = showers[0]
    energy = made.hits.energy_mip.copy()
    energy[:5] = np.nan
    broken = replace(made, hits=made.hits._replace(energy_mip=energy))
    kept = np.arange(len(made)) >= 5
    less = replace(made, hits=made.hits.chosen(kept), shower=made.shower[kept], fraction=made.fraction[kept])
    one, other = outcome(broken, broken.shower), outcome(less, less.shower)
    assert np.array_equal(one.response, other.response, equal_nan=True)
    assert one.clusters == other.clusters


def test_nothing_at_all():
    nothing = total([])
    assert np.isnan([nothing.efficiency, nothing.fake_rate, nothing.merged_rate]).all()
    assert summary(nothing)["efficiency"] is None


def test_bins(showers: list[Event]):
    found = total(outcome(each, each.shower) for each in showers)
    bins = in_bins(found.true_gev, (2.0, 4.0, 30.0, 40.0), found)
    assert bins.number.tolist()[2] == 0
    assert bins.efficiency.tolist()[:2] == [1, 1]
    assert np.isnan(bins.efficiency[2])
    assert bins.listed()["response"][2] is None


def test_a_spread_is_of_what_was_found_and_of_few_not_known():
    response = np.random.default_rng(1).normal(1.1, 0.2, 20_000)
    median, resolution = spread(np.append(response, [np.nan] * 5_000))
    assert (median, resolution) == pytest.approx((1.1, 0.2 / 1.1), rel=0.02)
    assert median.up == pytest.approx(1.253 * 0.2 / np.sqrt(20_000), rel=0.1)
    assert np.isnan(spread(np.append(response[:9], np.nan))).all()
