"""The way from a client to a server: two lines, one behind the other."""

from __future__ import annotations

from random import Random

import pytest

from sonic.study.conditions.line import Conditions
from sonic.study.simulation.clock import Clock
from sonic.study.simulation.network import Cable, Site

MB = 125_000
"""Bytes that take a second of 1 Mbit/s."""


def arrivals(own: Conditions, shared: Conditions, *sent: tuple[float, int], cables: int = 1) -> list[float]:
    """Send bytes at times, by turns over several cables to one site; return when each has arrived, in that order."""
    clock, random = Clock(), Random(1)
    site = Site(shared, random)
    ends = [Cable(clock, own, random) for _ in range(cables)]
    found: dict[int, float] = {}
    for i, (at_s, n_bytes) in enumerate(sent):

        def send(i: int = i, n_bytes: int = n_bytes) -> None:
            ends[i % cables].send(site, n_bytes, lambda: found.update({i: clock.now_s()}))

        clock.after(at_s, send)
    clock.run()
    return [found[i] for i in range(len(sent))]


@pytest.mark.parametrize(
    ("own", "shared", "takes_s"),
    [
        (Conditions(bandwidth_mbps=1), Conditions(), 1.0),
        (Conditions(), Conditions(round_trip_ms=200), 0.1),
        (Conditions(bandwidth_mbps=1), Conditions(round_trip_ms=200), 1.1),
        (Conditions(round_trip_ms=300), Conditions(round_trip_ms=200), 0.25),
        # Each byte goes on as it comes out: the narrower of the two counts, whichever that is.
        (Conditions(300, bandwidth_mbps=1), Conditions(200, bandwidth_mbps=4), 1.25),
        (Conditions(300, bandwidth_mbps=4), Conditions(200, bandwidth_mbps=1), 1.25),
    ],
)
def test_delays_add_up_and_the_narrower_line_counts(own: Conditions, shared: Conditions, takes_s: float) -> None:
    assert arrivals(own, shared, (0.0, MB)) == [pytest.approx(takes_s)]


def test_a_narrow_cable_leaves_the_shared_line_to_others() -> None:
    # Four clients fill a shared line that is as wide as their cables together, and each takes as long as if alone.
    own, shared = Conditions(100, bandwidth_mbps=1), Conditions(100, bandwidth_mbps=1000)
    assert arrivals(own, shared, *[(0.0, MB)] * 4, cables=4) == pytest.approx([1.1] * 4, rel=0.01)


def test_order_is_kept_within_a_connection() -> None:
    own, shared = Conditions(20, 10, bandwidth_mbps=10), Conditions(20, 10, bandwidth_mbps=10)
    arrived = arrivals(own, shared, *[(0.001 * i, 100) for i in range(200)])
    assert arrived == sorted(arrived)
