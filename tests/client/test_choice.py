from __future__ import annotations

from random import Random
from threading import Lock

import pytest

from sonic.client.catalogue import Catalogue
from sonic.client.choice import Choice
from sonic.client.pool import ALONE
from sonic.client.retry import Step
from sonic.client.settings import ClientSettings
from sonic.errors import Cancelled, ConfigError, InvalidRequest, ModelNotFound, Unavailable
from sonic.testing.clock import VirtualTimer

BUSY = Unavailable("busy")


class Servers:
    """A choice among servers, on virtual time."""

    def __init__(self, *servers: str, fallback: str | None = None, **settings: object) -> None:
        self.timer = VirtualTimer()
        self.catalogue = Catalogue(servers, rest_s=5.0)
        known = ClientSettings(**{"jitter": 0.0, **settings})  # type: ignore[arg-type]
        self.choice = Choice(servers, fallback, known, self.catalogue, Lock(), self.timer, Random(1))

    def request(self, url: str, error: Exception | None = None, lasts_s: float = 0.0) -> bool:
        """Send a request to a server and end it; returns what the choice says of that."""
        sent_s = self.timer.now_s()
        sending = self.choice.sent(url)
        self.timer.advance(lasts_s)
        return self.choice.done(url, "m", error, self.timer.now_s(), sent_s=sent_s, sending=sending)  # type: ignore[arg-type]


def test_requests_are_spread_and_counted() -> None:
    servers = Servers("a", "b")
    assert servers.choice.first("m") == "a"
    assert servers.choice.sent("a").among == 1
    assert servers.choice.first("m") == "b"
    assert servers.choice.sent("b").among == 1
    assert [state.outstanding for state in servers.choice.statistics()] == [1, 1]
    assert servers.choice.sent("a").among == 2
    servers.choice.done("b", "m", None, 0.0)
    servers.choice.done("a", "m", BUSY, 0.0)
    assert [(s.outstanding, s.completed, s.failed) for s in servers.choice.statistics()] == [(1, 0, 1), (0, 1, 0)]


def test_what_a_server_refuses_is_not_what_it_completed() -> None:
    servers = Servers("a", "b")
    for error in (None, ModelNotFound("no m"), InvalidRequest("no such input"), Cancelled("given up")):
        servers.request("a", error)
    assert [(s.outstanding, s.completed, s.failed) for s in servers.choice.statistics()] == [(0, 1, 0), (0, 0, 0)]


def test_how_soon_an_error_comes_says_nothing_of_answers() -> None:
    servers = Servers("a", "b")
    for error in (BUSY, InvalidRequest("no such input")):
        servers.request("a", error, lasts_s=9.0)
    assert servers.choice.statistics()[0].latency_s is None
    servers.request("a", lasts_s=2.0)
    assert servers.choice.statistics()[0].latency_s == 2.0


def test_no_second_server_is_asked_whose_circuit_is_open() -> None:
    servers = Servers("a", "b", hedge_quantile=0.9, breaker_failures=2)
    for _ in range(2):
        servers.request("b", BUSY)
    assert servers.choice.second("m", ["a"]) is None
    servers.timer.advance(5.0)
    assert servers.choice.second("m", ["a"]) == "b"


def test_the_fallback_comes_last_and_is_not_counted() -> None:
    servers = Servers("a", fallback="local:f")
    assert servers.choice.first("m") == "a"
    assert servers.choice.next("m", ["a"]) == "local:f"
    assert servers.choice.next("m", ["a", "local:f"]) is None
    assert servers.choice.sent("local:f") == ALONE
    assert not servers.request("local:f", ModelNotFound("no m"))
    assert [state.server for state in servers.choice.statistics()] == ["a"]
    assert Servers(fallback="local:f").choice.first("m") == "local:f"
    assert Servers().choice.first("m") is None


def test_a_server_that_lacks_a_model_says_so_once_and_comes_last() -> None:
    servers = Servers("a", "b")
    assert servers.request("a", ModelNotFound("no m"))
    assert not servers.request("b")
    assert [servers.choice.first("m") for _ in range(3)] == ["b"] * 3
    assert servers.choice.next("m", ["b"]) == "a"


@pytest.mark.parametrize("error", [Cancelled("given up"), InvalidRequest("wrong shape")])
def test_what_is_no_fault_of_the_server_does_not_count_against_it(error: Exception) -> None:
    servers = Servers("a", "b", breaker_failures=1)
    assert not servers.request("a", error)
    assert servers.choice.statistics()[0].circuit == "closed"
    assert servers.choice.statistics()[0].failed == 0


def test_steps_lead_where_there_is_a_server() -> None:
    servers = Servers("a", "b", fallback="local:f", chain=("same", "different", "again", "fallback"))
    choice, chain, tried = servers.choice, servers.choice.chain(), ["a"]
    actions = []
    while (step := choice.step("m", chain, BUSY, tried, None)) is not None:
        url = choice.follow("m", step, tried)
        assert url is not None
        actions.append((step.action, url))
        tried.append(url)
    assert actions[:2] == [("same", "a"), ("different", "b")]
    assert actions[-1] == ("fallback", "local:f")
    assert choice.step("m", choice.chain(), InvalidRequest("wrong"), ["a"], None) is None


def test_an_open_circuit_bars_the_way_only_while_there_is_a_fallback() -> None:
    for fallback, then in (("local:f", None), (None, "a")):
        servers = Servers("a", fallback=fallback, breaker_failures=1)
        servers.request("a", BUSY)
        assert servers.choice.statistics()[0].circuit == "open"
        assert servers.choice.follow("m", Step("same"), ["a"]) == then


def test_a_second_server_is_asked_once_it_is_known_how_long_the_first_takes() -> None:
    servers = Servers("a", "b", hedge_quantile=0.5, hedge_budget=0.1)
    assert servers.choice.hedge_s("m") is None
    for _ in range(30):
        servers.request("a", lasts_s=0.25)
    assert servers.choice.hedge_s("m") == 0.25
    assert servers.choice.second("m", ["a"]) == "b"
    assert servers.choice.second("m", ["a", "b"]) is None
    servers.catalogue.not_found("b", "m", servers.timer.now_s())
    assert servers.choice.second("m", ["a"]) is None
    alone = Servers("a", hedge_quantile=0.5)
    for _ in range(30):
        alone.request("a", lasts_s=0.25)
    assert alone.choice.hedge_s("m") is None


def test_no_second_server_without_being_asked_for() -> None:
    servers = Servers("a", "b")
    servers.request("a", lasts_s=0.25)
    assert servers.choice.hedge_s("m") is None
    assert servers.choice.second("m", ["a"]) is None


def test_a_server_that_is_there_twice() -> None:
    with pytest.raises(ConfigError, match="server a is given twice"):
        Servers("a", "a")
