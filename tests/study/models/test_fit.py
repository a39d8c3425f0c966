"""Fits find what points were made of, and say how well they do."""

from __future__ import annotations

import itertools
import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError, DataError
from sonic.study.models import kinked
from sonic.study.models.base import Points
from sonic.study.models.fit import fit, models, points, ranked
from sonic.study.models.queues import batching, queue
from sonic.study.models.simple import amdahl, bounds, scalability
from sonic.study.published import study
from sonic.study.records import Estimate
from sonic.study.saturation import PART
from sonic.study.series import series

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.models.base import Model
    from sonic.study.models.minimum import Minimum
    from sonic.study.records import Record

CLIENTS = np.array([1.0, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
MADE = [
    (bounds(), [0.02, 0.002]),
    (amdahl(), [100.0, 0.05]),
    (scalability(), [100.0, 0.05, 0.001]),
    (queue(), [0.02, 0.002]),
    (queue(3), [0.02, 0.006]),
    (batching(most=16), [0.01, 0.004, 0.0005]),
]


def noisy(model: Model, values: list[float], seed: int, part: float = 0.01) -> Points:
    truth = model.predict(CLIENTS, np.array(values))
    error = part * truth
    return Points(CLIENTS, truth + np.random.default_rng(seed).normal(0, error), error)


@pytest.mark.parametrize(("ndf", "most"), [(1, 3.84), (5, 11.07), (40, 55.76)])
def test_chance_makes_chi2_large_where_few_points_are_and_not_where_many_are(ndf: int, most: float) -> None:
    found = fit(amdahl(), noisy(amdahl(), [100.0, 0.05], 0))
    for chi2, describes in ((0.99 * most, True), (1.01 * most, False)):  # tables of chi2 have these, for 5 %
        assert replace(found, chi2=chi2, ndf=ndf).describes is describes


@pytest.mark.parametrize(("model", "values"), MADE, ids=lambda each: getattr(each, "name", ""))
def test_a_fit_finds_the_parameters_within_their_errors(model: Model, values: list[float]) -> None:
    pulls, chi2 = [], 0.0
    for seed in range(8):
        found = fit(model, noisy(model, values, seed))
        pulls += [
            (each.value - true) / each.error for each, true in zip(found.parameters.values(), values, strict=True)
        ]
        chi2 += found.chi2
    assert np.abs(pulls).max() < 4
    assert 0.4 < np.mean(np.square(pulls)) ** 0.5 < 1.7
    assert 0.6 < chi2 / (8 * found.ndf) < 1.5


@pytest.mark.parametrize(("model", "values"), MADE[:3], ids=lambda each: getattr(each, "name", ""))
def test_the_best_of_several_is_what_the_points_were_made_of(model: Model, values: list[float]) -> None:
    made = noisy(model, values, 1)
    assert ranked([fit(each, made) for each, _ in MADE])[0].model.name == model.name


def test_saturation_of_a_fit_is_that_of_the_truth_within_its_error() -> None:
    model, values = queue(3), np.array([0.02, 0.006])
    found = fit(model, noisy(model, values.tolist(), 3))
    for given, truth in ((found.saturation, model.saturation(values)), (found.knee, model.knee(values))):
        assert abs(given.value - truth) < 4 * given.error < 0.2 * truth


def test_a_wrong_model_says_where_it_fails() -> None:
    made = noisy(bounds(), [0.02, 0.002], 1)
    found = fit(amdahl(), made)
    assert found.chi2 / found.ndf > 20
    assert abs(found.pulls[found.worst]) == np.abs(found.pulls).max() > 5
    assert found.deviation > 0.05
    # Its errors are those of points that scatter as much.
    assert found.parameters["rate_per_s"].error > 3 * fit(bounds(), made).parameters["ideal_s"].error / 0.02**2


def test_without_errors_chi2_says_nothing_and_parameters_are_found_nevertheless() -> None:
    made = noisy(queue(), [0.02, 0.002], 1, 0.02)
    found = fit(queue(), Points(made.clients, made.throughput))
    assert not found.errors_known
    assert found.chi2 == pytest.approx(found.ndf)
    assert abs(found.parameters["service_s"].value - 0.002) < 4 * found.parameters["service_s"].error
    assert ranked([found, fit(amdahl(), Points(made.clients, made.throughput))])[0] is found


def test_points_that_are_exact_have_hardly_any_errors() -> None:
    rate = bounds().predict(CLIENTS, np.array([0.02, 0.002]))
    found = fit(bounds(), Points(CLIENTS, rate))
    assert np.isfinite(found.aicc)
    assert np.abs(found.pulls).max() < 10
    assert found.knee.value == pytest.approx(10)


@pytest.mark.parametrize("seed", range(6))
def test_points_below_the_knee_bound_the_capacity_alone(seed: int) -> None:
    found = fit(bounds(), noisy(bounds(), [0.02, 1e-6], seed))
    assert found.bounded == ("service_s",)
    assert not found.predicts
    assert found.parameters["service_s"].at_most == pytest.approx(1 / 3200, rel=0.05)
    for each, last in ((found.capacity, 3200.0), (found.saturation, PART * 64), (found.knee, 64)):
        assert each.at_most is None
        assert each.at_least == pytest.approx(last, rel=0.05)
        assert np.isnan(each.error)
    ideal = found.parameters["ideal_s"]
    assert abs(ideal.value - 0.02) < 4 * ideal.error < 0.001


@pytest.mark.parametrize("seed", range(6))
def test_points_beyond_the_knee_bound_the_ideal_alone(seed: int) -> None:
    made = noisy(bounds(), [1e-6, 0.002], seed)
    found = fit(bounds(), Points(made.clients[5:], made.throughput[5:], made.error[5:]))  # type: ignore[index]
    assert found.bounded == ("ideal_s",)
    assert found.parameters["ideal_s"].at_most == pytest.approx(8 * 0.002, rel=0.05)
    assert found.knee.at_most == pytest.approx(8, rel=0.05)
    assert found.saturation.at_most == pytest.approx(PART * 8, rel=0.05)
    assert abs(found.capacity.value - 500) < 4 * found.capacity.error < 20
    assert not found.predicts
    # One client that saturates a server alone leaves nothing open that matters.
    assert fit(bounds(), made).predicts


@pytest.mark.parametrize("scatter", [0.0, 1e-3])
def test_points_without_errors_that_never_saturate_have_no_plateau(scatter: float) -> None:
    for seed in range(6):
        clients = np.array([25.0, 50, 100])
        rate = 4.3 * clients * (1 + scatter * np.random.default_rng(seed).normal(size=3))
        found = fit(bounds(), Points(clients, rate))
        assert found.bounded == ("service_s",)
        at_least = found.capacity.at_least
        assert at_least is not None
        assert 350 < at_least < 1.01 * rate[-1]


def test_a_model_that_predicts_nothing_is_not_the_best() -> None:
    made = noisy(bounds(), [0.02, 1e-6], 1)
    assert [each.model.name for each in ranked([fit(bounds(), made), fit(amdahl(), made)])] == ["amdahl", "protodune"]


def test_a_few_draws_that_run_to_a_limit_do_not_make_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made, usual = noisy(bounds(), [0.02, 0.002], 1), fit(bounds(), noisy(bounds(), [0.02, 0.002], 1))
    search, searched = kinked.minimum, itertools.count()

    def runs_away(*args: Any, **more: Any) -> Minimum:
        found = search(*args, **more)
        return replace(found, values=np.array([0.02, 1e-9])) if next(searched) in (3, 14, 15) else found

    monkeypatch.setattr(kinked, "minimum", runs_away)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit(bounds(), made)
    for name in ("capacity", "knee", "saturation"):
        assert getattr(found, name).error == pytest.approx(getattr(usual, name).error, rel=0.5)


def test_few_points_are_not_enough_to_tell_models_apart() -> None:
    made = noisy(queue(), [0.02, 0.002], 1)
    for model, k in ((queue(), 2), (scalability(), 3)):
        found, n = fit(model, made), len(made.clients)
        assert found.aicc == pytest.approx(found.chi2 + 2 * k + 2 * k * (k + 1) / (n - k - 1))
    few = Points(made.clients[::5], made.throughput[::5], made.error[::5])  # type: ignore[index]
    assert fit(queue(), few).aicc == np.inf
    with pytest.raises(DataError, match="3 parameters need more points than that, given 3"):
        fit(scalability(), few)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iminuit", None)
    with pytest.raises(ConfigError, match=r"fits need iminuit: pip install 'sonic-hep\[study\]'"):
        fit(queue(), noisy(queue(), [0.02, 0.002], 1))


def test_a_parameter_at_its_limit_is_named() -> None:
    made = noisy(amdahl(), [100.0, 0.05], 4)
    found = fit(
        scalability(), Points(made.clients, made.throughput / (1 + made.clients / 1e3) * (1 + made.clients / 500))
    )
    assert found.at_limit == ("coherency",)


def test_the_published_scan_without_batching_gives_the_published_time_on_the_gpu() -> None:
    protodune = study("protodune")
    jobs, module_s = np.array(protodune.curve("4 GPUs, batching off").points).T
    event_s = module_s + (1 - protodune.inputs["offloaded_part"]) * protodune.inputs["cpu_s"]
    found = fit(bounds(), Points(jobs, jobs / event_s))
    assert 4 * found.parameters["service_s"].value == pytest.approx(protodune.inputs["gpu_s_without_batching"], rel=0.2)


def test_the_published_jobs_saturate_where_the_paper_says() -> None:
    miniaod = study("miniaod-ak4")
    jobs, each = np.array(miniaod.curve("AK4").points).T
    found = fit(bounds(), Points(jobs, jobs * each))
    assert found.saturation.value == pytest.approx(miniaod.figures["particlenet_ak4_jobs_per_gpu"], rel=0.03)
    assert 0 < found.saturation.error < 10


def test_points_have_errors_from_their_intervals(make: Callable[..., Record]) -> None:
    parts = {1: 0.04, 2: 0.0, 4: 0.08, 8: 0.001}
    (of,) = series(
        [make(100.0, part=part, settings={"clients": n}) for n, part in parts.items()], "clients", "throughput"
    )
    error = points(of).error
    assert error is not None
    t = 4.302652729911275  # Student's, of three repeats
    # What is zero is not known; that and what is small by chance take the median.
    np.testing.assert_allclose(error, np.array([4, 4, 8, 4]) / t)
    (of,) = series([make(1.0, throughput=Estimate(1.0))], "clients", "throughput")
    assert points(of).error is None


def test_points_without_clients_are_refused(make: Callable[..., Record]) -> None:
    (of,) = series([make(1.0, settings={"clients": 0})], "clients", "throughput")
    with pytest.raises(DataError, match="one client and a throughput above 0"):
        points(of)


def test_models_know_of_instances_as_set_or_as_the_server_says(make: Callable[..., Record]) -> None:
    for settings, details in (({"instances": 2}, {}), ({}, {"instances": 2.0})):
        records = [make(100.0 * n, settings={"clients": n, **settings}, details=details) for n in (1, 2, 4, 8)]
        (of,) = series(records, "clients", "throughput")
        assert "2 equal instances" in {each.name: each for each in models(of)}["mva"].text


def test_models_know_of_measured_batches(make: Callable[..., Record]) -> None:
    records = [make(100.0 * n, batch=min(n, 4), settings={"clients": n}) for n in (1, 2, 4, 8)]
    (of,) = series(records, "clients", "throughput")
    by_name = {each.name: each for each in models(of)}
    values = np.array([0.001, 0.004, 0.001])
    assert by_name["mva-batching"].capacity(values) == pytest.approx(4 / 0.008)
    # How many requests are at the server is of its own rate, whatever the series counts: rows, or chunks of jobs.
    (rows,) = series(records, "clients", "row_rate")
    same = {each.name: each for each in models(rows)}
    clients = np.arange(1.0, 9)
    assert same["mva-batching"].predict(clients, values) == pytest.approx(
        by_name["mva-batching"].predict(clients, values)
    )
