"""Enough servers, not more than needed, and only for what is cheaper there."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, isclose

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.study.advice.job import Job, Offload
from sonic.study.advice.offers import Offer, stated
from sonic.study.advice.plan import plan
from sonic.study.advice.reasons import reasons
from sonic.study.advice.site import Kind, Site
from sonic.study.published import PUBLISHED

TAGGER = Offload("tag", "tagger", cpu_s=0.4, host_s=0.02, rows=10, bytes_sent=1e6, bytes_received=1e3)
FIT = Offload("fit", "fit", cpu_s=0.1, host_s=0.0, rows=1, bytes_sent=100, bytes_received=100)
JOB = Job("w", event_s=1.0, chunk_size=10, offloads=(TAGGER, FIT))
SITE = Site(core_hour=0.05, spare=0, use=0.8, servers={"gpu": Kind(hour=1.0), "cpu": Kind(hour=0.1)})
FAST = Offer("tagger", "gpu", rows_per_s=8000.0, busy_latency_s=0.05)
SLOW = Offer("tagger", "cpu", rows_per_s=200.0, busy_latency_s=0.05)
DEAR = Offer("fit", "gpu", rows_per_s=2.0)


def test_the_cheaper_kind_is_taken_and_what_is_dearer_there_stays() -> None:
    made = plan(JOB, [FAST, SLOW, DEAR], SITE, jobs=100, threads=4)
    tagger, fit = made.models
    assert tagger.offload
    assert tagger.offer is FAST
    assert not fit.offload
    assert fit.server_cost > fit.cores_cost
    assert made.events_per_s_before == 400
    assert made.events_per_s == pytest.approx(400 / 0.62)
    assert made.gain == pytest.approx(1 / 0.62 - 1)
    (fleet,) = made.fleets
    assert (fleet.kind, fleet.limited_by) == ("gpu", "compute")
    assert fleet.servers == ceil(4000 / 0.62 / 8000 / 0.8)
    assert made.cost < made.cost_before
    # Of one core: 0.62 s of a chunk's event, and it waits 0.051 s for ten.
    assert made.streams == 4 + 1


def test_what_is_cheaper_by_the_part_of_a_server_stays_where_whole_ones_cost_more() -> None:
    spare = Site(core_hour=0.05, spare=1, servers=SITE.servers)
    few = plan(JOB, [FAST], spare, jobs=10)
    assert few.models[0].server_cost < few.models[0].cores_cost
    assert (few.fleets, few.cost, few.gain) == ((), few.cost_before, 0.0)
    said = {advice.choice: advice.reason for advice in reasons(few, [FAST]) if advice.subject == FAST.model}
    assert "but whole servers, with spare ones and their network, cost these jobs more" in said["leave it in the job"]
    many = plan(JOB, [FAST], spare, jobs=1000)
    assert many.models[0].offload
    assert many.cost < many.cost_before
    assert not any("but whole servers" in advice.reason for advice in reasons(many, [FAST]))


def test_many_servers_are_written_like_all_large_numbers() -> None:
    made = plan(JOB, [FAST], SITE, jobs=1_000_000)
    (fleet,) = made.fleets
    (said,) = [advice for advice in reasons(made, [FAST]) if advice.subject == "gpu" and "servers" in advice.choice]
    assert said.choice == f"{fleet.servers:,} servers"
    assert "," in said.choice
    assert f"the jobs fill {fleet.shares['tagger']:,.0f} of them" in said.reason


def test_of_two_kinds_the_one_that_pays_is_kept() -> None:
    fit = Offer("fit", "cpu", rows_per_s=1000.0)
    few = Site(core_hour=0.05, spare=8, servers={"gpu": Kind(hour=1.0), "cpu": Kind(hour=0.005)})
    made = plan(JOB, [FAST, fit], few, jobs=50)
    assert {model.model: model.offload for model in made.models} == {"tagger": False, "fit": True}
    assert [fleet.kind for fleet in made.fleets] == ["cpu"]


def test_a_job_of_which_nothing_is_left_is_no_plan() -> None:
    job = Job("w", event_s=0.1, chunk_size=10, offloads=(FIT,))
    with pytest.raises(ConfigError, match="nothing of an event is left to the job"):
        plan(job, [DEAR], SITE, jobs=1, goal="throughput")


def test_for_throughput_everything_goes_that_saves_anything() -> None:
    made = plan(JOB, [FAST, DEAR], SITE, jobs=100, threads=4, goal="throughput")
    assert [model.offload for model in made.models] == [True, True]
    assert made.events_per_s == pytest.approx(400 / 0.52)
    (fleet,) = made.fleets
    assert fleet.shares["fit"] == pytest.approx(400 / 0.52 / 2.0)
    said = {each.subject: each.choice for each in reasons(made, [FAST, DEAR]) if each.choice.startswith("ask for")}
    assert said["tagger"] == "ask for all 10 rows of an event, and all events of a chunk in one request"
    assert said["fit"] == "ask for all events of a chunk in one request"  # which have a row each


def test_requests_have_no_more_rows_than_the_model_takes() -> None:
    for most, said in (
        (0, "100 rows in chunks of 10 events"),
        (100, "100 rows in chunks of 10 events"),
        (32, "100 rows in chunks of 10 events, which go in requests of 32, the most that it takes"),
    ):
        offer = replace(FAST, most_rows=most)
        (asked,) = [each for each in reasons(plan(JOB, [offer], SITE, jobs=100), [offer]) if "ask for" in each.choice]
        assert asked.reason == said


def test_parts_of_servers_are_written_like_all_numbers() -> None:
    made = plan(JOB, [FAST, DEAR], SITE, jobs=10_000, goal="throughput")
    (shared,) = [
        each for each in reasons(made, [FAST, DEAR]) if "every server" in each.choice or "one model" in each.choice
    ]
    assert shared.reason.startswith("24 for tagger, 9,615 for fit: apart they need ")


@pytest.mark.parametrize(
    ("tagger", "fit", "together"), [(0.8, 1.6, False), (0.8, 1.4, False), (0.8, 0.7, False), (0.3, 0.4, True)]
)
def test_models_have_servers_of_their_own_where_that_takes_no_more(tagger: float, fit: float, together: bool) -> None:
    rate = 400 / (1 - TAGGER.saved_s - FIT.saved_s)
    offers = [replace(FAST, rows_per_s=rate * TAGGER.rows / tagger), replace(DEAR, rows_per_s=rate * FIT.rows / fit)]
    (fleet,) = plan(JOB, offers, SITE, jobs=100, threads=4, goal="throughput").fleets
    assert fleet.shares == pytest.approx({"tagger": tagger, "fit": fit})
    assert fleet.together == together


def test_streams_are_more_than_threads_by_those_that_wait() -> None:
    slow = replace(FAST, busy_latency_s=5.0)
    for chunk_size in (1, 10):
        job = replace(JOB, offloads=(TAGGER,), chunk_size=chunk_size)
        made = plan(job, [slow], SITE, jobs=100, threads=4)
        assert made.streams == 4 + ceil(4 * 5.001 / (0.62 * chunk_size))


def test_the_network_can_set_the_number() -> None:
    narrow = Site(spare=0, servers={"gpu": Kind(hour=0.01, network_gbps=0.1)})
    (fleet,) = plan(JOB, [FAST], narrow, jobs=100).fleets
    assert fleet.limited_by == "network"
    assert fleet.servers == ceil(fleet.network_gbps / 0.07)


def test_nothing_measured_nothing_offloaded() -> None:
    made = plan(JOB, [], SITE, jobs=1)
    assert made.fleets == ()
    assert made.gain == 0
    assert made.cost == made.cost_before
    assert {advice.choice for advice in reasons(made, [])} == {"leave it in the job", "everything in the job"}


def test_what_was_measured_on_servers_without_a_price_is_said() -> None:
    offer = Offer(FAST.model, "2 cores of P", 10.0)
    made = plan(JOB, [offer], SITE, jobs=1)
    assert made.fleets == ()
    said = {advice.reason for advice in reasons(made, [offer]) if advice.subject == FAST.model}
    assert said == {'it was measured on servers without a price: give the site\'s file [servers."2 cores of P"]'}


@pytest.mark.parametrize("goal", ["cost", "throughput"])
def test_a_model_that_was_asked_nothing_takes_no_server(goal: str) -> None:
    idle = replace(JOB, offloads=(replace(TAGGER, rows=0.0, bytes_sent=0.0, bytes_received=0.0),))
    made = plan(idle, [FAST], SITE, jobs=100, goal=goal)
    assert (made.fleets, made.gain) == ((), 0.0)
    assert any("these events asked nothing of it" in advice.reason for advice in reasons(made, [FAST]))


def test_a_spare_server_is_one_more() -> None:
    counts = [
        plan(JOB, [FAST], Site(servers=SITE.servers, spare=spare), jobs=1000).fleets[0].servers for spare in (0, 2)
    ]
    assert counts[1] == counts[0] + 2


@given(
    jobs=st.integers(1, 10_000),
    rate=st.floats(0.1, 1e6),
    rows=st.floats(0.01, 1e3),
    hour=st.floats(0, 100),
    use=st.floats(0.05, 1),
)
@example(jobs=213, rate=0.1, rows=0.01, hour=0.01, use=0.05)  # as dear as without
def test_servers_are_enough_and_one_less_is_not(jobs, rate, rows, hour, use) -> None:
    job = Job("w", 1.0, 10, (Offload("m", "model", 0.5, 0.1, rows, 0.0, 0.0),))
    site = Site(core_hour=0.05, use=use, spare=0, servers={"k": Kind(hour=hour)})
    cheap = plan(job, [Offer("model", "k", rate)], site, jobs=jobs)
    assert cheap.cost <= cheap.cost_before
    made = plan(job, [Offer("model", "k", rate)], site, jobs=jobs, goal="throughput")
    if not isclose(made.cost, made.cost_before):
        assert bool(cheap.fleets) == (made.cost < made.cost_before)
    (fleet,) = made.fleets
    demand = made.events_per_s * rows
    assert fleet.servers * rate * use >= demand * (1 - 1e-9)
    assert (fleet.servers - 1) * rate * use <= demand * (1 + 1e-9)
    assert made.gain > 0


@pytest.mark.parametrize("options", [{"jobs": 0}, {"jobs": 1, "threads": 0}, {"jobs": 1, "goal": "speed"}])
def test_what_makes_no_sense(options) -> None:
    with pytest.raises(ConfigError, match=r"expected cost or throughput|1 or more"):
        plan(JOB, [FAST], SITE, **options)


def test_the_published_deployment_of_miniaod() -> None:
    """2,455 jobs of 4 threads used 102 T4 GPUs; their saturation points fill 71, which 70 % of use makes 102."""
    study = PUBLISHED["miniaod-ak4"]
    rate = study.inputs["cpu_events_per_s"]
    saturation = {
        model: study.figures[f"{name}_jobs_per_gpu"]
        for model, name in (
            ("ak4", "particlenet_ak4"),
            ("ak8", "particlenet_ak8"),
            ("deepmet", "deepmet"),
            ("deeptau", "deeptau"),
        )
    }
    offloads = tuple(Offload(model, model, 0.02, 0.0, 1.0, 0.0, 0.0) for model in saturation)
    # Events with nothing else to do, so that a job's rate is the one at which saturation was measured.
    job = Job("miniaod", 4 / rate + 0.08, 1, offloads)
    kind = Kind(hour=0.35, rows_per_s={model: jobs * rate for model, jobs in saturation.items()})
    site = Site(servers={"T4": kind}, use=0.7, spare=0)
    (fleet,) = plan(job, stated(site), site, jobs=2455, threads=4, goal="throughput").fleets
    assert sum(fleet.shares.values()) == pytest.approx(71.0, abs=0.1)
    assert fleet.servers == 102
