from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sonic.server.batcher import Batcher, BatchPolicy


def filled(policy: BatchPolicy, *rows: int, now_s: float = 0.0) -> Batcher[int]:
    batcher: Batcher[int] = Batcher(policy)
    for item, count in enumerate(rows):
        batcher.add(item, count, now_s=now_s)
    return batcher


def test_empty_has_nothing_to_do() -> None:
    batcher: Batcher[int] = Batcher(BatchPolicy(max_rows=8))
    assert batcher.take(0.0) == []
    assert batcher.expire(0.0) == []
    assert (batcher.next_ready_s(), batcher.next_deadline_s(), len(batcher)) == (inf, inf, 0)


def test_what_waits_goes_together_up_to_the_maximum() -> None:
    batcher = filled(BatchPolicy(max_rows=8), 3, 3, 3, 1)
    assert batcher.take(0.0) == [0, 1]
    assert batcher.take(0.0) == [2, 3]
    assert batcher.take(0.0) == []


def test_without_a_batch_dimension_each_goes_alone() -> None:
    batcher = filled(BatchPolicy(), 1, 1)
    assert [batcher.take(0.0), batcher.take(0.0), batcher.take(0.0)] == [[0], [1], []]


def test_one_that_is_too_large_goes_alone() -> None:
    batcher = filled(BatchPolicy(max_rows=4), 9, 1)
    assert [batcher.take(0.0), batcher.take(0.0)] == [[0], [1]]


def test_a_long_queue_is_cut_at_the_largest_preferred_size() -> None:
    batcher = filled(BatchPolicy(max_rows=10, preferred_rows=(4, 6)), 2, 2, 2, 2)
    assert batcher.take(0.0) == [0, 1, 2]
    assert batcher.take(0.0) == [3]


def test_the_delay_is_waited_for_company() -> None:
    batcher = filled(BatchPolicy(max_rows=8, max_delay_s=0.5), 3, now_s=1.0)
    assert batcher.take(1.25) == []
    assert batcher.next_ready_s() == 1.5
    batcher.add(1, 3, now_s=1.375)
    assert batcher.take(1.375) == []
    assert batcher.take(1.5) == [0, 1]


@pytest.mark.parametrize("rows", [5, 6])
def test_a_batch_that_is_full_does_not_wait(rows: int) -> None:
    batcher = filled(BatchPolicy(max_rows=8, max_delay_s=0.5), 3, rows)
    assert batcher.take(0.0) == ([0, 1] if rows == 5 else [0])


def test_a_preferred_size_does_not_wait() -> None:
    batcher = filled(BatchPolicy(max_rows=8, preferred_rows=(4,), max_delay_s=0.5), 2, 2)
    assert batcher.take(0.0) == [0, 1]


def test_shapes_do_not_mix_and_do_not_hold_each_other_up() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4, max_delay_s=1.0))
    for item, shape in (("a1", "a"), ("b1", "b"), ("b2", "b"), ("a2", "a")):
        batcher.add(item, 2 if shape == "b" else 1, shape, now_s=0.0)
    assert batcher.take(0.5) == ["b1", "b2"]
    assert batcher.take(0.5) == []
    assert batcher.take(1.0) == ["a1", "a2"]


def test_the_oldest_goes_first() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4))
    for item in ("a1", "b1", "a2", "c1"):
        batcher.add(item, 1, item[0], now_s=0.0)
    assert [batcher.take(0.0) for _ in range(3)] == [["a1", "a2"], ["b1"], ["c1"]]


def test_overdue_requests_leave() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4))
    batcher.add("a", now_s=0.0, deadline_s=2.0)
    batcher.add("b", now_s=0.0)
    batcher.add("c", now_s=0.0, deadline_s=1.0)
    assert batcher.next_deadline_s() == 1.0
    assert batcher.expire(0.5) == []
    assert batcher.expire(2.0) == ["c", "a"]
    assert batcher.take(2.0) == ["b"]
    assert batcher.next_deadline_s() == inf


def test_the_queue_has_an_end() -> None:
    batcher = filled(BatchPolicy(max_rows=4, max_queue=2), 1)
    assert not batcher.full
    batcher.add(1, now_s=0.0)
    assert batcher.full
    batcher.take(0.0)
    assert not batcher.full


def test_clear_gives_everything_back_in_order() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4))
    for item in ("a1", "b1", "a2"):
        batcher.add(item, 1, item[0], now_s=0.0, deadline_s=5.0)
    assert batcher.clear() == ["a1", "b1", "a2"]
    assert (len(batcher), batcher.take(9.0), batcher.expire(9.0)) == (0, [], [])


def test_far_deadlines_of_what_has_left_are_not_kept() -> None:
    batcher: Batcher[int] = Batcher(BatchPolicy(max_rows=1))
    for item in range(1000):
        batcher.add(item, now_s=0.0, deadline_s=1e9)
        assert batcher.take(0.0) == [item]
    assert len(batcher._deadlines) < 200


class Machine(RuleBasedStateMachine):
    """Any sequence of calls on a virtual clock, against what must always hold."""

    @initialize(
        max_rows=st.integers(0, 12),
        preferred=st.lists(st.integers(1, 12), max_size=3),
        delay_s=st.sampled_from([0.0, 0.5, 2.0]),
    )
    def make(self, max_rows: int, preferred: list[int], delay_s: float) -> None:
        self.policy = BatchPolicy(max_rows, tuple(preferred), delay_s)
        self.batcher: Batcher[int] = Batcher(self.policy)
        self.now_s = 0.0
        self.waiting: dict[int, tuple[int, str, float, float]] = {}
        self.count = 0

    @rule(rows=st.integers(1, 15), shape=st.sampled_from("ab"), left_s=st.sampled_from([0.25, 1.0, inf]))
    def add(self, rows: int, shape: str, left_s: float) -> None:
        self.batcher.add(self.count, rows, shape, now_s=self.now_s, deadline_s=self.now_s + left_s)
        self.waiting[self.count] = (rows, shape, self.now_s, self.now_s + left_s)
        self.count += 1

    @rule(step_s=st.sampled_from([0.125, 0.5, 1.0]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @rule()
    def take(self) -> None:
        self.expire()
        batch = self.batcher.take(self.now_s)
        if not batch:
            for _, _, arrived_s, _ in self.waiting.values():
                assert self.now_s < arrived_s + self.policy.max_delay_s, "it waits longer than the delay"
            assert self.batcher.next_ready_s() > self.now_s
            return
        rows = [self.waiting[item][0] for item in batch]
        shapes = {self.waiting[item][1] for item in batch}
        assert len(batch) == 1 or sum(rows) <= self.policy.max_rows
        assert len(shapes) == 1, "shapes are mixed"
        same = [item for item, entry in self.waiting.items() if entry[1] in shapes]
        assert batch == same[: len(batch)], "the order within a shape is not kept, or one was left out"
        if self.policy.max_delay_s == 0.0:
            assert batch[0] == min(self.waiting), "the oldest was passed over"
        for item in batch:
            del self.waiting[item]  # a second time is a KeyError

    @rule()
    def expire(self) -> None:
        overdue = self.batcher.expire(self.now_s)
        assert set(overdue) == {item for item, entry in self.waiting.items() if entry[3] <= self.now_s}
        assert len(overdue) == len(set(overdue))
        for item in overdue:
            del self.waiting[item]

    @precondition(lambda self: self.count % 7 == 6)
    @rule()
    def clear(self) -> None:
        assert self.batcher.clear() == sorted(self.waiting)
        self.waiting.clear()

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "batcher"):
            assert len(self.batcher) == len(self.waiting)
            deadlines = [entry[3] for entry in self.waiting.values()]
            assert self.batcher.next_deadline_s() == min(deadlines, default=inf)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(rows=st.lists(st.integers(1, 10), max_size=40), max_rows=st.integers(1, 16))
def test_everything_leaves_once_and_in_order(rows: list[int], max_rows: int) -> None:
    batcher = filled(BatchPolicy(max_rows=max_rows), *rows)
    left: list[int] = []
    while batch := batcher.take(0.0):
        left += batch
    assert left == list(range(len(rows)))
