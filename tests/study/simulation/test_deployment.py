from __future__ import annotations

from typing import Any

import pytest

from sonic.errors import ConfigError
from sonic.firmware.device.timing import CardModel
from sonic.study.load.schedule import PAUSE_S
from sonic.study.simulation.deployment import Deployment
from sonic.study.simulation.serverspec import ModelSpec
from sonic.study.simulation.service import Service
from sonic.study.simulation.specfile import unfold

MODEL: dict[str, Any] = {"service": {"execution_s": 0.01}}


def run(seed: int = 1, **changes: Any) -> Deployment:
    tree = {"target": "t", "models": {"m": MODEL}, "servers": [{}], "window_s": 10.0, "warmup_s": 1.0} | changes
    ((_, spec),) = unfold(tree, "test")
    deployment = Deployment(spec, seed)
    deployment.run()
    return deployment


def rate(deployment: Deployment) -> float:
    return deployment.observed.requests / deployment.spec.window_s


def test_the_same_seed_gives_the_same_to_the_last_bit() -> None:
    changes = {
        "models": {"m": {"service": {"execution_s": 0.01, "scatter": 0.3}, "max_rows": 4}},
        "servers": [{"count": 3, "failures": {"mtbf_s": 2.0, "mttr_s": 1.0}}],
        "clients": {"number": 12, "think_s": 0.01},
        "window_s": 3.0,
    }
    first, again, other = run(**changes), run(**changes), run(seed=2, **changes)
    assert first.observed.latencies_s == again.observed.latencies_s
    assert first.observed.latencies_s != other.observed.latencies_s


def test_a_change_of_the_policy_changes_what_comes_of_it_as_with_the_server() -> None:
    clients = {"number": 8}
    alone = run(clients=clients)
    together = run(models={"m": MODEL | {"max_rows": 8}}, clients=clients)
    waiting = run(models={"m": MODEL | {"max_rows": 8, "delay_us": 5000}}, clients={"number": 1})
    assert rate(alone) == pytest.approx(100, rel=0.02)
    assert rate(together) > 3.5 * rate(alone)
    assert together.server_window().batch_rows == pytest.approx(4, rel=0.2)  # half of them wait while half are executed
    assert rate(waiting) == pytest.approx(1 / 0.015, rel=0.02)


def test_clients_pause_after_errors_as_those_of_the_load_generator_do() -> None:
    deployment = run(
        servers=[{"failures": {"at": [[0.0, 100.0]]}}], clients={"number": 2}, client={"settings": {"tries": 1}}
    )
    assert deployment.observed.requests == 0
    assert deployment.observed.errors == pytest.approx(2 * 10 / PAUSE_S, rel=0.05)


def test_clients_pause_as_those_of_the_load_generator_do() -> None:
    pause = {"number": 4, "think_s": 0.03}
    # Four that pause as long as three are served take turns without ever waiting for each other.
    assert rate(run(clients=pause | {"constant": True})) == pytest.approx(100, rel=0.01)
    assert rate(run(clients=pause)) < 90
    dead = [{"failures": {"at": [[0.0, 100.0]]}}]
    slow = {"number": 2, "think_s": 0.5, "constant": True}
    failing = run(servers=dead, clients=slow, client={"settings": {"tries": 1}})
    assert failing.observed.errors == pytest.approx(2 * 10 / 0.5, rel=0.05)


def test_every_request_ends_once_whatever_dies() -> None:
    deployment = run(
        servers=[{"count": 3, "failures": {"mtbf_s": 0.5, "mttr_s": 0.3}}],
        clients={"number": 20, "think_s": 0.01},
        client={"timeout_s": 1.0, "settings": {"backoff_s": 0.02, "rest_s": 0.1}},
        window_s=5.0,
    )
    counts = [queue.counts for server in deployment.servers for queue in server.models.values()]
    assert sum(count.failures for count in counts) > 20
    sent = deployment.observed.ended
    deployment.clock.run(7.0)
    assert deployment.observed.ended > sent  # it went on
    assert all(len(server) <= 20 for server in deployment.servers)


def test_retries_hide_a_server_that_dies_from_its_clients() -> None:
    given = {"servers": [{}, {"failures": {"at": [(3.0, 4.0)]}}], "clients": {"number": 8}}
    kept = run(**given, client={"settings": {"rest_s": 0.1, "breaker_max_rest_s": 0.1}})
    assert kept.observed.errors == 0
    assert rate(kept) == pytest.approx(160, rel=0.05)  # the other one alone for four of ten seconds
    lonely = run(**given, client={"settings": {"chain": []}})
    assert lonely.observed.errors > 0


def test_clients_notice_a_server_that_hangs() -> None:
    given = {"servers": [{}, {"failures": {"at": [(2.0, 100.0)], "hangs": True}}], "clients": {"number": 4}}
    deployment = run(**given, client={"settings": {"silence_s": 0.5}})
    assert deployment.observed.errors == 0
    assert max(deployment.observed.latencies_s) == pytest.approx(1.0, abs=0.2)
    assert rate(deployment) > 95


def test_the_fallback_computes_when_no_server_is_there() -> None:
    given = {"servers": [{"failures": {"at": [(0.0, 100.0)]}}], "clients": {"number": 2}, "client": {"cores": 1}}
    deployment = run(models={"m": MODEL | {"fallback": {"execution_s": 0.1}}}, **given)
    assert deployment.observed.errors == 0
    assert rate(deployment) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("distribution", ["lognormal", "exponential"])
@pytest.mark.parametrize(("number", "in_flight", "round_trip_ms"), [(1, 8, 0), (1, 32, 50), (4, 32, 50)])
def test_a_pool_finds_out_who_is_slow(number: int, in_flight: int, round_trip_ms: float, distribution: str) -> None:
    network = {"round_trip_ms": round_trip_ms}
    deployment = run(
        models={"m": {"service": {"execution_s": 0.01, "distribution": distribution}, "max_queue": 0}},
        servers=[{"count": 3, "network": network}, {"speed": 0.1, "network": network}],
        clients={"number": number, "in_flight": in_flight},
        window_s=5.0,
    )
    assert rate(deployment) > 310 / 1.1


def test_load_goes_where_it_is_served() -> None:
    servers = [{"count": 3}, {"speed": 0.1}]
    given = {"servers": servers, "clients": {"number": 1, "in_flight": 32}, "window_s": 4.0}
    pool = rate(run(**given))
    turns = rate(run(**given, balancer={"policy": "round_robin"}))
    fewest = rate(run(**given, balancer={"policy": "least_requests"}))
    best = rate(run(**given, balancer={"policy": "shortest_delay"}))
    assert pool > 0.95 * best > 290
    assert turns < 50
    assert turns < fewest < pool


def test_distance_and_bandwidth() -> None:
    far = run(servers=[{"network": {"round_trip_ms": 90}}], clients={})
    assert rate(far) == pytest.approx(10, rel=0.02)
    model = MODEL | {"row_bytes": 10_000}
    narrow = run(models={"m": model}, servers=[{"network": {"bandwidth_mbps": 1}}], clients={"number": 4})
    assert rate(narrow) == pytest.approx(12.5, rel=0.02)
    own = run(models={"m": model}, client={"network": {"bandwidth_mbps": 1}}, clients={"number": 4})
    assert rate(own) == pytest.approx(4 / 0.0951, rel=0.1)


def test_clients_and_server_share_the_cores_of_their_machine() -> None:
    model = {"m": MODEL | {"threads": 1, "instances": 2}}
    client = {"overhead_s": 0.01, "cores": 1}
    apart = run(models=model, servers=[{"cores": 1}], client=client, clients={"number": 8})
    together = run(
        models=model, servers=[{"with_clients": True, "overhead_s": 0.01}], client=client, clients={"number": 8}
    )
    assert rate(apart) == pytest.approx(100, rel=0.03)
    assert rate(together) == pytest.approx(100 / 3, rel=0.03)


def test_what_is_short_executes_the_event_loop_of_a_server_that_does_as_ours() -> None:
    short = {"service": {"execution_s": 1e-4}, "threads": 1}
    given = {"servers": [{"cores": 4, "overhead_s": 1e-4}], "clients": {"number": 4}, "window_s": 0.1, "warmup_s": 0.02}
    assert rate(run(models={"m": short}, **given)) == pytest.approx(5000, rel=0.01)
    for other in ({"short_s": 0.0}, {"learns": False}, {"threads": 0}):
        assert rate(run(models={"m": short | other}, **given)) == pytest.approx(10_000, rel=0.01)
    together = run(models={"m": short | {"max_rows": 64}}, **given)
    assert together.server_window().batch_rows > 1.3  # at the end of a turn, others come in the next
    assert rate(together) > 5500


def test_a_request_that_finds_the_front_end_idle_takes_longer() -> None:
    server = {"overhead_s": 1e-3, "wake_s": 5e-4}
    for model in ({"service": {"execution_s": 1e-4}, "threads": 1}, {"service": {"execution_s": 1e-4}}):
        given = {"models": {"m": model}, "servers": [server], "client": {"overhead_s": 1e-4}, "window_s": 1.0}
        alone = run(**given, clients={"number": 1}, warmup_s=0.1)
        wakes = 1 if "threads" in model else 2  # also for the answer of another thread
        assert rate(alone) == pytest.approx(1 / (1.2e-3 + wakes * 5e-4), rel=0.01)
        busy = run(**given, clients={"number": 8}, warmup_s=0.1)
        assert rate(busy) == pytest.approx(1 / (1.1e-3 if "threads" in model else 1e-3), rel=0.01)


@pytest.mark.parametrize(
    ("execution_s", "cores", "given", "expected_s"),
    [
        (1e-4, 2, {}, 3e-4),
        (1e-3, 2, {}, 0.0),
        (1e-3, 1, {}, 2e-3),
        (1e-3, 2, {"short_s": 5e-3}, 5e-3),
        (1e-4, 2, {"short_s": 0.0}, 0.0),
        (1e-4, 2, {"learns": False}, 0.0),
    ],
)
def test_what_is_short_is_as_with_our_server_or_as_it_is_given(
    execution_s: float, cores: float, given: dict[str, Any], expected_s: float
) -> None:
    model = ModelSpec(service=Service(execution_s=execution_s), **{"threads": 1, **given})
    assert model.short_on_s(cores, 1.0) == expected_s
    assert ModelSpec(card={"block": 1024}, **given).short_on_s(cores, 1.0) == 0


def test_servers_are_added_under_load_and_removed_after_it() -> None:
    scaling = {
        "threshold_ms": 20,
        "most": 5,
        "poll_s": 5,
        "window_s": 5,
        "start_s": 5,
        "up_stable_s": 0,
        "down_stable_s": 0,
    }
    scaling |= {"up_period_s": 5, "down_period_s": 5}
    clients = {"number": 1, "phases": [(14, 10.0, 60.0)]}
    deployment = run(balancer={}, scaling=scaling, clients=clients, window_s=100.0)
    numbers = [number for _, number, _ in deployment.history]
    assert numbers[0] == numbers[-1] == 1
    assert 3 <= max(numbers) <= 5
    assert deployment.observed.errors == 0


def test_jobs_gain_what_they_offload() -> None:
    modules = [
        {"name": "tagger", "cpu_s": 0.1, "model": "m"},
        {"name": "rest", "cpu_s": 0.4},
    ]
    direct = run(jobs={"threads": 2, "modules": modules, "mode": "direct"}, window_s=20.0)
    service = run(jobs={"threads": 2, "modules": modules}, window_s=20.0)
    assert direct.observed.chunks / 20 == pytest.approx(4, rel=0.03)
    assert service.observed.chunks / 20 == pytest.approx(5, rel=0.03)
    assert service.observed.requests == pytest.approx(100, abs=10)
    quick = run(jobs={"threads": 2, "modules": modules, "mode": "direct", "speed": 2, "chunk_events": 5}, window_s=20.0)
    assert 5 * quick.observed.chunks / 20 == pytest.approx(8, rel=0.1)


def test_a_module_of_many_requests_sends_them_one_after_another() -> None:
    modules = [{"name": "tagger", "model": "m", "rows": 50, "requests": 10, "mode": "sync"}]
    deployment = run(models={"m": {"service": {"row_s": 0.01}}}, jobs={"modules": modules}, window_s=20.0)
    total_s, count = deployment.observed.modules_s["tagger"]
    assert total_s / count == pytest.approx(0.5)
    assert deployment.observed.rows == pytest.approx(50 * count, rel=0.05)


def test_a_request_that_fails_spoils_its_chunk() -> None:
    modules = [{"name": "tagger", "model": "m"}, {"name": "rest", "cpu_s": 0.1}]
    deployment = run(
        servers=[{"failures": {"at": [(0.0, 5.0)]}}], jobs={"modules": modules}, client={"settings": {"chain": []}}
    )
    assert deployment.observed.lost > 10
    assert deployment.observed.chunks > 10


def test_an_fpga_card_takes_blocks_however_full_they_are() -> None:
    card = CardModel(block=1024, units=2)
    models = {"m": {"card": {"block": 1024, "units": 2}, "max_rows": 1024, "learns": False}}
    lone = run(models=models, clients={"rows": 16}, window_s=0.2)
    assert min(lone.observed.latencies_s) == pytest.approx(card.block_s)
    busy = run(models=models, clients={"rows": 1024, "number": 16}, window_s=0.2, warmup_s=0.1)
    assert rate(busy) == pytest.approx(min(card.bounds.values()), rel=0.03)
    with pytest.raises(ConfigError, match="a card has no 'unit'; similar: units"):
        run(models={"m": {"card": {"unit": 2}}}, clients={})
    with pytest.raises(ConfigError, match="a service or a card: one of the two"):
        run(models={"m": {}}, clients={})
