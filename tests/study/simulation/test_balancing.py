"""Which server a balancer sends the next request to."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from sonic.study.conditions.line import Conditions
from sonic.study.simulation.balancing import Balancer
from sonic.study.simulation.clock import Clock
from sonic.study.simulation.network import Site
from sonic.study.simulation.processor import Processor
from sonic.study.simulation.server import Server

if TYPE_CHECKING:
    from sonic.study.simulation.balancing import Policy


def servers(clock: Clock, *speeds: float) -> list[Server]:
    """Make servers of these speeds, without models."""
    here = Site(Conditions(), Random(1))
    return [Server(clock, f"s{i}", {}, here, Processor(clock), speed=speed) for i, speed in enumerate(speeds)]


def test_of_idle_servers_the_quickest_has_the_shortest_delay() -> None:
    clock = Clock()
    balancer = Balancer(clock, servers(clock, 0.1, 1.0, 0.5), "shortest_delay", Random(1))
    chosen = balancer.choose()
    assert chosen is not None
    assert chosen.name == "s1"


@pytest.mark.parametrize("policy", ["round_robin", "random", "least_requests"])
def test_a_dead_server_is_sent_to_until_that_is_noticed(policy: Policy) -> None:
    clock = Clock()
    there = servers(clock, 1.0, 1.0)
    balancer = Balancer(clock, there, policy, Random(1), notice_s=2.0)

    def names() -> set[str]:
        return {chosen.name for chosen in (balancer.choose() for _ in range(50)) if chosen is not None}

    there[0].fail()
    assert names() == {"s0", "s1"}
    clock.run(1.9)
    assert names() == {"s0", "s1"}
    clock.run(2.1)
    assert names() == {"s1"}
    there[1].fail()
    clock.run(3.0)
    assert names() == {"s1"}
    clock.run(5.0)
    assert balancer.choose() is None
    there[0].come_back()
    assert names() == {"s0"}
    there[0].fail()
    assert names() == {"s0"}
