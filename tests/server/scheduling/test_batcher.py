from __future__ import annotations

from copy import deepcopy
from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sonic.server.scheduling.batcher import Batcher
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy


def filled(policy: BatchPolicy, *rows: int, now_s: float = 0.0) -> Batcher[int]:
    batcher: Batcher[int] = Batcher(policy)
    for item, count in enumerate(rows):
        batcher.add(item, rows=count, now_s=now_s)
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
    batcher.add(1, rows=3, now_s=1.375)
    assert batcher.take(1.375) == []
    assert batcher.take(1.5) == [0, 1]


@pytest.mark.parametrize("rows", [5, 6])
def test_a_batch_that_is_full_does_not_wait(rows: int) -> None:
    batcher = filled(BatchPolicy(max_rows=8, max_delay_s=0.5), 3, rows)
    assert batcher.take(0.0) == ([0, 1] if rows == 5 else [0])


def test_a_preferred_size_does_not_wait() -> None:
    batcher = filled(BatchPolicy(max_rows=8, preferred_rows=(4,), max_delay_s=0.5), 2, 2)
    assert batcher.take(0.0) == [0, 1]


def test_more_than_the_largest_preferred_size_is_not_waited_for() -> None:
    policy = BatchPolicy(max_rows=8, preferred_rows=(2, 6), max_delay_s=0.5)
    assert filled(policy, 7).take(0.0) == [0]
    assert Batcher(policy).passes(7)
    batcher = filled(policy, 3, 4)  # neither is preferred, and both are too much
    assert [batcher.take(0.0), batcher.take(0.0), batcher.take(0.5)] == [[0], [], [1]]


def test_who_adds_one_is_told_whether_it_may_make_a_batch() -> None:
    def told(policy: BatchPolicy, *rows: int) -> list[bool]:
        batcher: Batcher[int] = Batcher(policy)
        return [batcher.add(item, rows=count, now_s=0.0) for item, count in enumerate(rows)]

    assert told(BatchPolicy(max_rows=8), 1) == [True]
    assert told(BatchPolicy(max_rows=8, max_delay_s=0.5), 3, 3, 3) == [False, False, True]
    assert told(BatchPolicy(max_rows=8, preferred_rows=(2, 4), max_delay_s=0.5), 1, 1, 1) == [False, True, True]


def test_shapes_do_not_mix_and_do_not_hold_each_other_up() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4, max_delay_s=1.0))
    for item, shape in (("a1", "a"), ("b1", "b"), ("b2", "b"), ("a2", "a")):
        batcher.add(item, rows=2 if shape == "b" else 1, shape=shape, now_s=0.0)
    assert batcher.take(0.5) == ["b1", "b2"]
    assert batcher.take(0.5) == []
    assert batcher.take(1.0) == ["a1", "a2"]


def test_the_oldest_goes_first() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4))
    for item in ("a1", "b1", "a2", "c1"):
        batcher.add(item, rows=1, shape=item[0], now_s=0.0)
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
    batcher = filled(BatchPolicy(max_rows=4, queue=QueuePolicy(max_size=2)), 1)
    assert batcher.room() > 0
    batcher.add(1, now_s=0.0)
    assert batcher.room() == 0
    batcher.take(0.0)
    assert batcher.room() > 0


def test_every_priority_has_an_end_of_its_own() -> None:
    policy = BatchPolicy(queue=QueuePolicy(max_size=1), queues={2: QueuePolicy(max_size=2)}, levels=3)
    batcher: Batcher[str] = Batcher(policy)
    for item, level in (("a", 3), ("b", 2)):
        batcher.add(item, now_s=0.0, level=level)
    assert [batcher.room(level) for level in (1, 2, 3)] == [1, 1, 0]
    assert batcher.take(0.0) == ["b"]
    batcher.add("c", now_s=0.0, level=2)
    batcher.add("d", now_s=0.0, level=2, deadline_s=1.0)
    assert batcher.room(2) == 0
    batcher.expire(1.0)
    assert batcher.room(2) > 0


def test_priorities_that_a_model_does_not_have_are_its_default() -> None:
    policy = BatchPolicy(levels=3, default_level=2)
    assert [policy.level(priority) for priority in (0, 1, 3, 4, 2**64 - 1)] == [2, 1, 3, 2, 2]


def test_priorities_go_in_order_and_together() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=3, levels=3))
    for item, level in (("c1", 3), ("b1", 2), ("a1", 1), ("c2", 3), ("a2", 1)):
        batcher.add(item, now_s=0.0, level=level)
    assert [batcher.take(0.0), batcher.take(0.0)] == [["a1", "a2", "b1"], ["c1", "c2"]]


def test_priority_decides_which_shape_goes_first() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=8, levels=2))
    batcher.add("x2", rows=1, shape="x", now_s=0.0, level=2)
    batcher.add("y1", rows=1, shape="y", now_s=1.0, level=1)
    batcher.add("x1", rows=1, shape="x", now_s=2.0, level=1)
    assert [batcher.take(2.0), batcher.take(2.0)] == [["y1"], ["x1", "x2"]]


def test_priority_decides_which_full_shape_goes_first_while_another_waits() -> None:
    batcher: Batcher[int] = Batcher(BatchPolicy(max_rows=2, max_delay_s=1.0, levels=3))
    for item, (shape, rows, level) in enumerate((("a", 1, 1), ("b", 2, 3), ("c", 2, 2))):
        batcher.add(item, now_s=0.0, shape=shape, rows=rows, level=level)
    assert [batcher.take(0.0), batcher.take(0.0), batcher.take(0.0)] == [[2], [1], []]


def test_an_outranked_request_still_ends_the_wait_for_company() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=8, max_delay_s=1.0, levels=2))
    batcher.add("low", now_s=0.0, level=2)
    batcher.add("high", now_s=0.75, level=1)
    assert batcher.next_ready_s() == 1.0
    assert batcher.take(0.75) == []
    assert batcher.take(1.0) == ["high", "low"]


def test_what_waits_too_long_is_refused() -> None:
    queue = QueuePolicy(timeout_s=1.0)
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4, max_delay_s=9.0, queue=queue))
    batcher.add("a", now_s=0.0, limit_s=queue.limit_s(None))
    assert batcher.next_deadline_s() == 1.0
    assert batcher.expire(1.0) == ["a"]
    assert len(batcher) == 0


def test_what_is_late_goes_behind_the_others_of_its_priority() -> None:
    policy = BatchPolicy(max_rows=2, queue=QueuePolicy(timeout_s=1.0, delays=True), levels=2)
    batcher: Batcher[str] = Batcher(policy)
    for item, now_s, level in (("late", 0.0, 1), ("later", 0.25, 1), ("new", 0.75, 1), ("low", 0.0, 2)):
        batcher.add(item, now_s=now_s, level=level, limit_s=policy.queue_of(level).limit_s(None))
    assert batcher.expire(1.25) == []
    assert [batcher.take(1.25), batcher.take(1.25)] == [["new", "late"], ["later", "low"]]


def test_what_is_late_waits_no_longer_for_company() -> None:
    policy = BatchPolicy(max_rows=8, max_delay_s=60.0, queue=QueuePolicy(timeout_s=1.0, delays=True))
    batcher: Batcher[str] = Batcher(policy)
    batcher.add("a", now_s=0.0, limit_s=1.0)
    assert (batcher.take(0.5), batcher.next_deadline_s()) == ([], 1.0)
    assert batcher.expire(1.0) == []
    assert batcher.next_ready_s() <= 1.0
    assert batcher.take(1.0) == ["a"]


def test_what_is_late_still_has_a_deadline() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(queue=QueuePolicy(delays=True)))
    batcher.add("a", now_s=0.0, limit_s=1.0, deadline_s=2.0)
    assert (batcher.next_deadline_s(), batcher.expire(1.0), batcher.next_deadline_s()) == (1.0, [], 2.0)
    assert batcher.expire(2.0) == ["a"]


@pytest.mark.parametrize(
    ("policy", "own_s", "limit_s"),
    [
        (QueuePolicy(), None, inf),
        (QueuePolicy(), 1.0, inf),
        (QueuePolicy(timeout_s=2.0), 1.0, 2.0),
        (QueuePolicy(timeout_s=2.0, allow_override=True), 1.0, 1.0),
        (QueuePolicy(timeout_s=2.0, allow_override=True), 3.0, 2.0),
        (QueuePolicy(timeout_s=2.0, allow_override=True), None, 2.0),
        (QueuePolicy(allow_override=True), 1.0, 1.0),
    ],
)
def test_a_request_may_shorten_its_timeout_where_that_is_allowed(
    policy: QueuePolicy, own_s: float | None, limit_s: float
) -> None:
    assert policy.limit_s(own_s) == limit_s


def test_what_nobody_wants_any_more_makes_room() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=8, queue=QueuePolicy(max_size=3)))
    for item, shape in (("a", 1), ("b", 2), ("c", 1)):
        batcher.add(item, shape=shape, now_s=0.0)
    assert batcher.room() == 0
    assert batcher.drop(lambda item: item in "ab") == ["a", "b"]
    assert (len(batcher), batcher.room() > 0, batcher.take(0.0)) == (1, True, ["c"])
    assert batcher.drop(lambda _: True) == []


def test_clear_gives_everything_back_in_order() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=4))
    for item in ("a1", "b1", "a2"):
        batcher.add(item, rows=1, shape=item[0], now_s=0.0, deadline_s=5.0)
    assert batcher.clear() == ["a1", "b1", "a2"]
    assert (len(batcher), batcher.take(9.0), batcher.expire(9.0)) == (0, [], [])


def test_far_deadlines_of_what_has_left_are_not_kept() -> None:
    batcher: Batcher[int] = Batcher(BatchPolicy(max_rows=1))
    for item in range(1000):
        batcher.add(item, now_s=0.0, deadline_s=1e9)
        assert batcher.take(0.0) == [item]
    assert len(batcher._events) < 200


def test_what_has_left_is_not_kept_behind_one_that_waits() -> None:
    batcher: Batcher[int] = Batcher(BatchPolicy(max_rows=2, max_delay_s=1e9))
    batcher.add(-1, rows=1, shape="rare", now_s=0.0)
    for item in range(1000):
        batcher.add(item, rows=2, shape="common", now_s=0.0)
        assert batcher.take(0.0) == [item]
    assert len(batcher._lanes[1, False]) < 200


def test_what_cannot_be_done_in_time_makes_room_for_what_can() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=1))
    for item, deadline_s in (("a", 1.0), ("b", 1.5), ("c", 3.0)):
        batcher.add(item, now_s=0.0, deadline_s=deadline_s)
    assert batcher.expire(0.5, needed_s=1.0) == ["a", "b"]
    assert batcher.expire(2.5, needed_s=1.0) == [], "there is nothing else to do"
    assert batcher.take(2.5) == ["c"]


def test_a_queue_policy_says_nothing_of_the_time_to_execute() -> None:
    batcher: Batcher[str] = Batcher(BatchPolicy(max_rows=1))
    batcher.add("a", now_s=0.0, limit_s=1.0)
    batcher.add("b", now_s=0.0)
    assert batcher.expire(0.5, needed_s=1.0) == []
    assert batcher.expire(1.0, needed_s=1.0) == ["a"]


@pytest.mark.parametrize("left_s", [inf, 0.5])
def test_at_three_times_the_capacity_the_queue_is_bounded_and_the_goodput_stays(left_s: float) -> None:
    """A second's work of 100 requests, on a virtual clock, of which 300 arrive."""
    batcher: Batcher[float] = Batcher(BatchPolicy(max_rows=4, queue=QueuePolicy(max_size=64)))
    arrivals = [number / 300 for number in range(300 * 60)]
    execution_s, now_s, done, refused, overdue = 0.04, 0.0, 0, 0, 0
    while arrivals or len(batcher):
        while arrivals and arrivals[0] <= now_s:
            arrived_s = arrivals.pop(0)
            if not batcher.room():
                refused += 1
            else:
                batcher.add(arrived_s, now_s=arrived_s, deadline_s=arrived_s + left_s)
        assert len(batcher) <= 64
        overdue += len(batcher.expire(now_s, 2 * execution_s))
        batch = batcher.take(now_s)
        now_s += execution_s if batch else 1 / 300
        done += sum(now_s <= arrived_s + left_s for arrived_s in batch)
    assert done + refused + overdue == 300 * 60, "an accepted request was done too late"
    assert done >= 0.95 * 100 * 60


class Waiting(NamedTuple):
    """What the test knows of a request."""

    rows: int
    shape: str
    arrived_s: float
    refused_s: float
    late_s: float
    level: int


class Machine(RuleBasedStateMachine):
    """Any sequence of calls on a virtual clock, against what must always hold."""

    @initialize(
        max_rows=st.integers(0, 12),
        preferred=st.lists(st.integers(1, 12), max_size=3),
        delay_s=st.sampled_from([0.0, 0.5, 2.0]),
        queues=st.dictionaries(
            st.integers(1, 3),
            st.builds(
                QueuePolicy,
                timeout_s=st.sampled_from([0.75, 3.0, inf]),
                delays=st.booleans(),
                allow_override=st.booleans(),
                max_size=st.integers(0, 5),
            ),
        ),
    )
    def make(self, max_rows: int, preferred: list[int], delay_s: float, queues: dict[int, QueuePolicy]) -> None:
        self.policy = BatchPolicy(max_rows, tuple(preferred), delay_s, queues=queues, levels=3, default_level=2)
        self.batcher: Batcher[int] = Batcher(self.policy)
        self.now_s = 0.0
        self.waiting: dict[int, Waiting] = {}
        self.late: list[int] = []
        self.count = 0

    def order(self, item: int) -> tuple[int, bool, int]:
        level = self.waiting[item].level
        return level, item in self.late, self.late.index(item) if item in self.late else item

    @rule(
        requests=st.lists(
            st.tuples(
                st.integers(1, 3) | st.integers(1, 15),
                st.sampled_from("ab"),
                st.sampled_from([0.25, 1.0, inf]),
                st.sampled_from([None, 0.5, 5.0]),
                st.integers(0, 4),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def add(self, requests: list[tuple[int, str, float, float | None, int]]) -> None:
        for request in requests:
            self.add_one(*request)

    def add_one(self, rows: int, shape: str, left_s: float, own_s: float | None, priority: int) -> None:
        level = self.policy.level(priority)
        queue = self.policy.queue_of(level)
        size = sum(entry.level == level for entry in self.waiting.values())
        assert self.batcher.room(level) == (queue.max_size - size if queue.max_size else inf)
        if not self.batcher.room(level):
            return
        limit_s = queue.limit_s(own_s)
        deadline_s = self.now_s + left_s
        passes = self.batcher.passes(rows)
        made = self.batcher.add(
            self.count,
            now_s=self.now_s,
            rows=rows,
            shape=shape,
            deadline_s=deadline_s,
            level=level,
            limit_s=limit_s,
        )
        self.waiting[self.count] = Waiting(
            rows,
            shape,
            self.now_s,
            deadline_s if queue.delays else min(deadline_s, self.now_s + limit_s),
            self.now_s + limit_s if queue.delays else inf,
            level,
        )
        self.count += 1
        if passes:  # which it is not here: with all instances busy, requests gather
            assert deepcopy(self.batcher).take(self.now_s) == [self.count - 1], "it would not have been the next batch"
        elif not made:
            probe = deepcopy(self.batcher)
            while batch := probe.take(self.now_s):
                due = any(self.late_or_due(item) for item, entry in self.waiting.items() if entry.shape == shape)
                assert self.count - 1 not in batch or due, "it made a batch without saying so"

    def late_or_due(self, item: int) -> bool:
        return item in self.late or self.waiting[item].arrived_s + self.policy.max_delay_s <= self.now_s

    @rule(step_s=st.sampled_from([0.125, 0.5, 1.0]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        self.expire()
        batch = self.batcher.take(self.now_s)
        if not batch:
            assert not self.late, "it waits for company though it is late"
            for entry in self.waiting.values():
                assert self.now_s < entry.arrived_s + self.policy.max_delay_s, "it waits longer than the delay"
            assert self.batcher.next_ready_s() > self.now_s
            return
        rows = [self.waiting[item].rows for item in batch]
        shapes = {self.waiting[item].shape for item in batch}
        assert len(batch) == 1 or sum(rows) <= self.policy.max_rows
        assert len(shapes) == 1, "shapes are mixed"
        same = sorted((item for item, entry in self.waiting.items() if entry.shape in shapes), key=self.order)
        assert batch == same[: len(batch)], "the order within a shape is not kept, or one was left out"
        if self.policy.max_delay_s == 0.0:
            assert batch[0] == min(self.waiting, key=self.order), "the first was passed over"
        for item in batch:
            self.leave(item)

    @rule()
    def expire(self) -> None:
        overdue = self.batcher.expire(self.now_s)
        assert set(overdue) == {item for item, entry in self.waiting.items() if entry.refused_s <= self.now_s}
        assert len(overdue) == len(set(overdue))
        for item in overdue:
            self.leave(item)
        late = [item for item, entry in self.waiting.items() if entry.late_s <= self.now_s and item not in self.late]
        self.late += sorted(late, key=lambda item: (self.waiting[item].late_s, item))

    @rule(divisor=st.integers(1, 4))
    def drop(self, divisor: int) -> None:
        dropped = self.batcher.drop(lambda item: item % divisor == 0)
        assert sorted(dropped) == [item for item in self.waiting if item % divisor == 0]
        for item in dropped:
            self.leave(item)

    @precondition(lambda self: self.count % 7 == 6)
    @rule()
    def clear(self) -> None:
        assert self.batcher.clear() == sorted(self.waiting)
        self.waiting.clear()
        self.late.clear()

    def leave(self, item: int) -> None:
        del self.waiting[item]  # a second time is a KeyError
        if item in self.late:
            self.late.remove(item)

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "batcher"):
            assert len(self.batcher) == len(self.waiting)
            events = [
                entry.refused_s if item in self.late else min(entry.refused_s, entry.late_s)
                for item, entry in self.waiting.items()
            ]
            assert self.batcher.next_deadline_s() == min(events, default=inf)


TestMachine = pytest.mark.interpreted(Machine.TestCase)
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(rows=st.lists(st.integers(1, 10), max_size=40), max_rows=st.integers(1, 16))
def test_everything_leaves_once_and_in_order(rows: list[int], max_rows: int) -> None:
    batcher = filled(BatchPolicy(max_rows=max_rows), *rows)
    left: list[int] = []
    while batch := batcher.take(0.0):
        left += batch
    assert left == list(range(len(rows)))
