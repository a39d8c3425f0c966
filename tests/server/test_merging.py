from __future__ import annotations

import sys
from collections import Counter

import hypothesis.strategies as st
from hypothesis import given

from sonic.server.merging import Merging


def settled(cost_s, rows_waiting: int, own_rows: int, executions: int = 200) -> tuple[Merging, list[int]]:
    """Execute as a server does for which `rows_waiting` rows always wait, in requests of `own_rows`."""
    merging, sizes = Merging(), []
    for _ in range(executions):
        most = min(merging.most_rows, rows_waiting)
        rows = max(own_rows, most // own_rows * own_rows)
        merging.learn(rows, cost_s(rows))
        sizes.append(rows)
    return merging, sizes


def test_there_is_no_limit_before_anything_is_known() -> None:
    assert Merging().most_rows == sys.maxsize


def test_a_network_that_takes_hardly_longer_for_more_rows_is_never_limited() -> None:
    merging, sizes = settled(lambda rows: 1e-4 + 1e-7 * rows, 1024, 16, executions=3000)
    assert merging.most_rows == sys.maxsize
    assert sizes.count(1024) > 2900
    assert set(sizes[1000:]) == {1024}


def test_a_network_that_takes_longer_for_each_of_many_rows_is_executed_for_few() -> None:
    _, sizes = settled(lambda rows: rows * (1e-3 if rows <= 40 else 1.4e-3), 640, 10, executions=2000)
    usual, times = Counter(sizes[100:]).most_common(1)[0]
    assert usual == 30  # the largest of which a size has no more than 40
    assert times > 1850


def test_larger_executions_are_tried_again_and_kept_when_they_have_become_better() -> None:
    merging, _ = settled(lambda rows: rows * (1e-3 if rows <= 40 else 1.4e-3), 640, 10)
    assert merging.most_rows < 64
    for _ in range(10_000):
        rows = max(10, min(merging.most_rows, 640) // 10 * 10)
        merging.learn(rows, rows * 1e-3)
    assert merging.most_rows == sys.maxsize


def test_a_few_executions_that_were_disturbed_do_not_limit() -> None:
    merging = Merging()
    for _ in range(10):
        merging.learn(10, 0.01)
        merging.learn(100, 0.1)
    merging.learn(100, 3.0)
    merging.learn(100, 3.0)
    assert merging.most_rows == sys.maxsize


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(0, 10)), max_size=60))
def test_one_row_may_always_go(executions: list[tuple[int, float]]) -> None:
    merging = Merging()
    for rows, busy_s in executions:
        merging.learn(rows, busy_s)
    assert merging.most_rows >= 1


def test_it_does_not_depend_on_the_unit() -> None:
    short, long = Merging(), Merging()
    for rows, busy_s in [(8, 1.0), (64, 8.0), (64, 10.0), (64, 10.0), (16, 2.0)] * 5:
        short.learn(rows, busy_s * 1e-6)
        long.learn(rows, busy_s)
    assert short.most_rows == long.most_rows
