from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.study.conditions.line import LEAST_TIMEOUT_S, SEGMENT_BYTES, Conditions, Line

_conditions = st.builds(
    lambda round_trip, jitter, bandwidth, loss: Conditions(round_trip, jitter * round_trip / 2, bandwidth, loss),
    st.floats(0, 500),
    st.floats(0, 1),
    st.just(0.0) | st.floats(0.1, 1e5),
    st.just(0.0) | st.floats(1e-4, 0.5),
)
_sends = st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 1 << 20), st.integers(0, 2)), min_size=1, max_size=40)


def _line(conditions: Conditions, seed: int = 0) -> Line:
    return Line(conditions, Random(seed))


@given(_conditions, _sends, st.integers(0, 99))
def test_nothing_arrives_early_or_out_of_order_or_faster_than_the_bandwidth(
    conditions: Conditions, sends: list[tuple[float, int, int]], seed: int
) -> None:
    line = _line(conditions, seed)
    flows = [line.flow() for _ in range(3)]
    last = [-inf] * 3
    now_s, sent_bytes = 0.0, 0
    least_s = (conditions.round_trip_ms / 2 - conditions.jitter_ms) / 1e3
    for pause_s, n_bytes, which in sends:
        now_s += pause_s
        sent_bytes += n_bytes
        due_s = flows[which].send(now_s, n_bytes)
        assert due_s >= now_s + least_s + n_bytes / conditions.bytes_per_s - 1e-9
        assert due_s >= sent_bytes / conditions.bytes_per_s + least_s - 1e-9  # all began at 0
        assert due_s >= last[which]
        last[which] = due_s


def test_without_conditions_all_arrives_at_once() -> None:
    flow = _line(Conditions()).flow()
    assert [flow.send(now_s, 1 << 20) for now_s in (0.0, 0.0, 1.5)] == [0.0, 0.0, 1.5]


def test_delay_and_bandwidth_add_up() -> None:
    # 1 MB at 80 Mbit/s is 0.1 s on the line, and 10 ms under way.
    assert _line(Conditions(round_trip_ms=20, bandwidth_mbps=80)).flow().send(5.0, 10**6) == pytest.approx(5.11)


def test_flows_share_the_bandwidth() -> None:
    line = _line(Conditions(bandwidth_mbps=80))
    first, second = line.flow(), line.flow()
    assert first.send(0.0, 10**6) == pytest.approx(0.1)
    assert second.send(0.0, 10**6) == pytest.approx(0.2)
    assert line.free_s == pytest.approx(0.2)
    assert second.send(1.0, 10**6) == pytest.approx(1.1)  # what was idle is not made up for


def test_jitter_goes_both_ways_around_the_delay() -> None:
    line = _line(Conditions(round_trip_ms=20, jitter_ms=4))
    delays_ms = [line.flow().send(0.0, 1) * 1e3 for _ in range(2000)]
    assert min(delays_ms) == pytest.approx(6, abs=0.05)
    assert max(delays_ms) == pytest.approx(14, abs=0.05)
    assert sum(delays_ms) / len(delays_ms) == pytest.approx(10, abs=0.2)


def test_a_loss_at_the_end_waits_for_the_timeout_as_often_as_it_should() -> None:
    line = _line(Conditions(round_trip_ms=20, loss=0.1))
    delays = [line.flow().send(0.0, 100) for _ in range(20_000)]
    timeout_s = LEAST_TIMEOUT_S + 0.02
    for losses, share in enumerate((0.9, 0.09, 0.009)):
        due_s = 0.01 + (2**losses - 1) * timeout_s
        assert sum(delay == pytest.approx(due_s) for delay in delays) / len(delays) == pytest.approx(share, rel=0.15)


def test_losses_in_the_middle_cost_a_round_trip() -> None:
    """Of 300 segments with 1 % lost, one is nearly always, and mostly none of the last three."""
    line = _line(Conditions(round_trip_ms=20, loss=0.01))
    delays = [line.flow().send(0.0, 300 * SEGMENT_BYTES) for _ in range(5000)]
    assert sum(delay == pytest.approx(0.03) for delay in delays) / len(delays) == pytest.approx(
        0.99**3 * (1 - 0.01**2) ** 297 - 0.99**300, abs=0.03
    )


def test_the_last_segments_of_a_part_wait_for_the_timeout_if_none_follow() -> None:
    line = _line(Conditions(round_trip_ms=20, loss=0.1))
    parts = [line.flow().put(0.0, 100) for _ in range(20_000)]
    assert {arrives_s for arrives_s, _ in parts} == {0.01}
    for losses, share in enumerate((0.9, 0.09, 0.009)):
        assert sum(each == losses for _, each in parts) / len(parts) == pytest.approx(share, rel=0.15)
    assert [line.wait_s(losses) for losses in range(3)] == pytest.approx([0, 0.22, 0.66])
    assert [line.wait_s(losses, followed=True) for losses in range(3)] == pytest.approx([0, 0.02, 0.04])


def test_a_loss_holds_up_its_own_flow_alone() -> None:
    line = _line(Conditions(round_trip_ms=20, loss=0.5))
    unlucky = line.flow()
    while (late_s := unlucky.send(0.0, 1)) < 0.1:
        pass
    assert unlucky.send(0.0, 1) >= late_s
    assert min(line.flow().send(0.0, 1) for _ in range(50)) == pytest.approx(0.01)


def test_repetitions_take_bandwidth() -> None:
    line = _line(Conditions(bandwidth_mbps=8, loss=0.2))
    line.flow().send(0.0, 8 * 10**5)
    assert line.free_s == pytest.approx(1.0)


def test_the_same_seed_draws_the_same() -> None:
    conditions = Conditions(round_trip_ms=20, jitter_ms=4, loss=0.1)
    one, other = (_line(conditions, 7).flow() for _ in range(2))
    assert [one.send(i, 5000) for i in range(50)] == [other.send(i, 5000) for i in range(50)]


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"round_trip_ms": -1}, "round_trip_ms must be 0 or more, given -1"),
        ({"bandwidth_mbps": inf}, "bandwidth_mbps must be 0 or more, given inf"),
        ({"round_trip_ms": 10, "jitter_ms": 6}, "jitter_ms must be at most half of round_trip_ms, 5, given 6"),
        ({"loss": 0.6}, "loss must be at most 0.5, given 0.6"),
    ],
)
def test_conditions_that_make_no_sense(numbers: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Conditions(**numbers)
