from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.firmware.device.timing import CardModel, Timeline

if TYPE_CHECKING:
    from sonic.firmware.device.timing import Passage

cards = st.builds(
    CardModel,
    block=st.integers(1, 50_000),
    units=st.integers(1, 6),
    buffers=st.integers(1, 5),
    pcie_gbps=st.floats(0.5, 200),
    pcie_latency_us=st.floats(0, 2000),
    clock_mhz=st.floats(50, 500),
    interval=st.floats(0.5, 50),
    latency_cycles=st.floats(0, 1e5),
    row_bytes_in=st.integers(1, 4096),
    row_bytes_out=st.integers(1, 512),
)
gaps = st.lists(st.just(0.0) | st.floats(0, 0.01), min_size=1, max_size=20)
NEAR_S = 1e-9


def passages(card: CardModel, gaps_s: list[float]) -> list[Passage]:
    timeline, now_s, passed = Timeline(card), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        passed.append(timeline.enqueue(now_s))
    return passed


def test_a_block_alone_takes_its_way_and_no_longer() -> None:
    card = CardModel(
        block=1000,
        units=2,
        buffers=2,
        pcie_gbps=8.0,  # 1 ns a byte
        pcie_latency_us=10.0,
        clock_mhz=100.0,  # 10 ns a cycle
        interval=2.0,
        latency_cycles=100.0,
        row_bytes_in=64,
        row_bytes_out=8,
    )
    passed = Timeline(card).enqueue(1.0)
    expected_us = [0, 64 + 10, 74, 74 + 21, 95, 95 + 8 + 10]
    assert [1e6 * (when_s - 1.0) for when_s in passed[2:]] == pytest.approx(expected_us)
    assert card.service_time_s(1) == card.service_time_s(1000) == pytest.approx(113e-6) == pytest.approx(card.block_s)
    assert card.service_time_s(0) == 0.0
    # The second goes over the link when the first is across, and through the other unit.
    assert card.service_time_s(1001) == pytest.approx((113 + 64) * 1e-6)
    assert card.slots == 4


@given(cards, gaps)
def test_each_resource_does_one_thing_at_a_time(card: CardModel, gaps_s: list[float]) -> None:
    passed = passages(card, gaps_s)
    to_card, compute, from_card = card.stages
    for before, after in pairwise(passed):
        assert after.sent_s >= before.sent_s + to_card.busy_s - NEAR_S
        assert after.returned_s >= before.returned_s + from_card.busy_s - NEAR_S
    for unit in range(card.units):
        for before, after in pairwise([each for each in passed if each.unit == unit]):
            assert after.begun_s >= before.computed_s
    for each in passed:
        assert each.computed_s - each.begun_s == pytest.approx(compute.busy_s)
        at_once = [other for other in passed if other.sent_s <= each.sent_s < other.done_s]
        assert len(at_once) <= card.slots
        assert max(sum(other.unit == unit for other in at_once) for unit in range(card.units)) <= card.buffers


@given(cards, gaps)
def test_the_link_moves_no_more_than_its_bandwidth(card: CardModel, gaps_s: list[float]) -> None:
    passed = passages(card, gaps_s)
    bytes_per_s = card.pcie_gbps * 1e9 / 8
    for row_bytes, begins in ((card.row_bytes_in, "sent_s"), (card.row_bytes_out, "returned_s")):
        first_s, last_s = (getattr(each, begins) for each in (passed[0], passed[-1]))
        moved = (len(passed) - 1) * card.block * row_bytes  # all but the last have been
        assert moved <= (last_s - first_s) * bytes_per_s * (1 + 1e-9) + 1e-3


@given(cards, gaps)
def test_nothing_waits_for_what_is_idle(card: CardModel, gaps_s: list[float]) -> None:
    passed = passages(card, gaps_s)
    for position, each in enumerate(passed):
        before = passed[:position]
        waited_s = each.begun_s - each.on_card_s
        for unit in range(card.units) if waited_s > NEAR_S else ():
            ours = [(o.begun_s, o.computed_s) for o in before if o.unit == unit]
            busy_s = sum(max(0.0, min(end, each.begun_s) - max(begin, each.on_card_s)) for begin, end in ours)
            assert busy_s == pytest.approx(waited_s, abs=NEAR_S)
        if each.sent_s > each.arrived_s + NEAR_S:
            full = sum(o.done_s >= each.sent_s - NEAR_S for o in before) >= card.slots
            assert full or before[-1].sent_s + card.stages[0].busy_s >= each.sent_s - NEAR_S


@given(cards, gaps, st.integers(0, 19), st.floats(0, 0.1))
def test_what_comes_later_is_done_later(card: CardModel, gaps_s: list[float], which: int, by_s: float) -> None:
    passed = passages(card, gaps_s)
    assert all(a.done_s <= b.done_s for a, b in pairwise(passed))
    which %= len(gaps_s)
    delayed = passages(card, [*gaps_s[:which], gaps_s[which] + by_s, *gaps_s[which + 1 :]])
    assert delayed[:which] == passed[:which]
    assert all(b.done_s >= a.done_s - NEAR_S for a, b in zip(passed, delayed, strict=True))


@given(cards, gaps, st.sampled_from(["units", "buffers", "pcie_gbps", "clock_mhz"]))
def test_a_better_card_is_not_slower(card: CardModel, gaps_s: list[float], name: str) -> None:
    better = CardModel(**{each: getattr(card, each) for each in card.__slots__} | {name: 2 * getattr(card, name)})
    for ours, theirs in zip(passages(card, gaps_s), passages(better, gaps_s), strict=True):
        assert theirs.done_s <= ours.done_s + NEAR_S


@given(cards)
def test_under_load_a_card_does_what_its_narrowest_part_allows(card: CardModel) -> None:
    n = 50 * card.slots
    passed = passages(card, [0.0] * n)
    late = passed[n // 2 :]
    rate = (len(late) - 1) / (late[-1].done_s - late[0].done_s)
    bursts = n // 2 // card.slots  # of as many blocks as there are slots, from the first of one to the last of another
    assert rate <= min(card.bounds.values()) * (1 + 1 / (bursts - 1))
    assert n / passed[-1].done_s == pytest.approx(min(card.bounds.values()), rel=0.3)
    assert card.sustained_s >= card.block_s * (1 - 1e-9)


def test_a_clock_that_goes_back_counts_as_one_that_stands() -> None:
    timeline = Timeline(CardModel())
    first = timeline.enqueue(5.0)
    assert timeline.enqueue(4.0).arrived_s == first.arrived_s


@pytest.mark.parametrize("name", ["units", "clock_mhz", "pcie_latency_us"])
def test_a_card_that_there_is_not(name: str) -> None:
    with pytest.raises(ConfigError, match=f"a card's {name} is .* zero, given -1"):
        CardModel(**{name: -1})
    with pytest.raises(ConfigError, match="given nan"):
        CardModel(**{name: float("nan")})
