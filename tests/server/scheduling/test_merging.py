from __future__ import annotations

import sys
from collections import Counter
from random import Random

import hypothesis.strategies as st
from hypothesis import given

from sonic.server.scheduling.merging import Merging


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


def test_a_network_that_takes_hardly_longer_for_more_rows_is_hardly_ever_limited() -> None:
    merging, sizes = settled(lambda rows: 1e-4 + 1e-7 * rows, 1024, 16, executions=3000)
    assert merging.most_rows == sys.maxsize
    assert sizes.count(1024) > 2900


def test_a_network_that_takes_longer_for_each_of_many_rows_is_executed_for_few() -> None:
    _, sizes = settled(lambda rows: rows * (1e-3 if rows <= 40 else 1.4e-3), 640, 10, executions=2000)
    usual, times = Counter(sizes[100:]).most_common(1)[0]
    assert usual in (10, 30)  # limits are powers of two
    assert times > 1800


def test_a_network_that_takes_longer_for_each_of_many_rows_is_hardly_ever_executed_for_all_of_them() -> None:
    _, sizes = settled(lambda rows: rows * (1e-3 if rows <= 20 else 1.5e-3), 160, 10, executions=300)
    assert sizes.count(160) < 8  # of a quarter of a second each


def test_a_network_that_is_best_at_some_size_is_executed_so() -> None:
    _, sizes = settled(lambda rows: 0.01 + rows * 1e-3 + rows**2 * 2e-6, 1024, 8, executions=4000)
    assert Counter(sizes[1000:]).most_common(1)[0][0] == 56  # of 8, 24, 56, 120 ...; the best of all were 70


def test_larger_executions_are_tried_again_and_kept_when_they_have_become_better() -> None:
    merging, _ = settled(lambda rows: rows * (1e-3 if rows <= 40 else 1.4e-3), 640, 10)
    assert merging.most_rows < 64
    for _ in range(30_000):
        rows = max(10, min(merging.most_rows, 640) // 10 * 10)
        merging.learn(rows, 0.1 + rows * 1e-3)
    assert merging.most_rows > 640


@given(st.integers(0), st.integers(20, 200), st.floats(0.3, 3))
def test_a_machine_that_changes_its_speed_changes_no_decision(seed: int, at: int, slower: float) -> None:
    random = Random(seed)  # hypothesis would choose a scatter that no machine has

    def cost_s(rows: int) -> float:
        nonlocal done
        done += 1
        return rows * (7e-4 if rows <= 20 else 9e-4) * random.gauss(1, 0.05) * (slower if done > at else 1)

    done = 0
    _, sizes = settled(cost_s, 160, 10, executions=400)
    assert Counter(sizes[250:]).most_common(1)[0][0] == 10


def test_a_few_executions_that_were_disturbed_do_not_limit() -> None:
    merging = Merging()
    for i in range(400):
        rows = min(100, max(10, merging.most_rows))
        merging.learn(rows, (1e-3 + rows * 1e-4) * (30 if i % 9 == 0 else 1))
    assert merging.most_rows == sys.maxsize


def test_more_requests_than_ever_are_a_reason_to_try_again() -> None:
    merging, _ = settled(lambda rows: rows * 1e-3, 10, 10, executions=10_000)
    sizes = []
    for _ in range(100):
        rows = max(10, min(merging.most_rows, 160) // 10 * 10)
        merging.learn(rows, rows * (1e-3 if rows < 20 else 1.5e-3))
        sizes.append(rows)
    assert Counter(sizes[20:]).most_common(1)[0][0] == 10


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(0, 10)), max_size=300))
def test_one_row_may_always_go(executions: list[tuple[int, float]]) -> None:
    merging = Merging()
    for rows, busy_s in executions:
        merging.learn(rows, busy_s)
        assert merging.most_rows >= 1


def test_what_an_execution_costs_besides_counts_for_short_ones() -> None:
    def cost_s(rows: int) -> float:
        return rows * (1e-6 if rows < 64 else 1.2e-6)

    short, _ = settled(cost_s, 128, 16, executions=500)
    long, _ = settled(lambda rows: 1e4 * cost_s(rows), 128, 16, executions=500)
    assert short.most_rows == sys.maxsize
    assert long.most_rows < 128
