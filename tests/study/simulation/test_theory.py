"""Against what is known in closed form."""

from __future__ import annotations

from math import factorial
from typing import Any

import pytest

from sonic.study.simulation.deployment import Deployment
from sonic.study.simulation.specfile import unfold

SERVICE_S = 0.01


WINDOW_S = 40.0


def observed(**tables: Any) -> Deployment:
    given = {"target": "t", "servers": [{"accelerators": 8}], "window_s": WINDOW_S, "warmup_s": 2.0} | tables
    ((_, spec),) = unfold(given, "test")
    deployment = Deployment(spec, 1)
    deployment.run()
    return deployment


def model(**more: Any) -> dict[str, Any]:
    return {"m": {"service": {"execution_s": SERVICE_S} | more.pop("service", {}), "max_queue": 0} | more}


def erlang_c(servers: int, offered: float) -> float:
    """Return the part of the arrivals that wait (Erlang, 1917)."""
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_of_constant_time(load: float) -> None:
    seen = observed(models=model(), arrivals={"rate": load / SERVICE_S}).server_window()
    expected_s = load * SERVICE_S / (2 * (1 - load))  # Pollaczek and Khinchine
    assert seen.queue_s == pytest.approx(expected_s, rel=0.15)
    assert seen.gpu_use == pytest.approx(load / 8, rel=0.05)


@pytest.mark.parametrize("servers", [1, 4])
def test_several_servers_of_random_time(servers: int) -> None:
    models = model(service={"distribution": "exponential"}, instances=servers)
    seen = observed(models=models, arrivals={"rate": 0.5 * servers / SERVICE_S}).server_window()
    expected_s = erlang_c(servers, 0.5 * servers) * SERVICE_S / (servers * 0.5)
    assert seen.queue_s == pytest.approx(expected_s, rel=0.15)


def mva(clients: int, service_s: float, think_s: float) -> float:
    """Return the throughput of clients that think, and one queue (Reiser and Lavenberg, 1980)."""
    length = rate = 0.0
    for n in range(1, clients + 1):
        response_s = service_s * (1 + length)
        rate = n / (think_s + response_s)
        length = rate * response_s
    return rate


@pytest.mark.parametrize("clients", [1, 5, 20])
def test_a_closed_network(clients: int) -> None:
    models = model(service={"distribution": "exponential"})
    seen = observed(models=models, clients={"number": clients, "think_s": 0.08}).observed
    assert seen.requests / WINDOW_S == pytest.approx(mva(clients, SERVICE_S, 0.08), rel=0.05)


def test_a_processor_that_all_share() -> None:
    # M/G/1 with processor sharing: the mean knows nothing of the distribution.
    given = {"models": model(threads=1, instances=64), "servers": [{"cores": 1}], "arrivals": {"rate": 0.6 / SERVICE_S}}
    seen = observed(**given).observed
    assert sum(seen.latencies_s) / len(seen.latencies_s) == pytest.approx(SERVICE_S / 0.4, rel=0.15)
