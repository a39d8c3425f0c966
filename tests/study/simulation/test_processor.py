from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.study.simulation.clock import Clock
from sonic.study.simulation.processor import Processor, Thread


def ends_s(cores: float, tasks: list[tuple[float, float, float]]) -> list[float]:
    """Return when each of some tasks ends: (begin, work, threads)."""
    clock = Clock()
    processor = Processor(clock, cores)
    ends = [0.0] * len(tasks)

    def ended(i: int) -> None:
        ends[i] = clock.now_s()

    def begin(i: int, work_s: float, threads: float) -> None:
        processor.run(work_s, lambda: ended(i), threads)

    for i, (at_s, work_s, threads) in enumerate(tasks):
        clock.after(at_s, lambda i=i, work_s=work_s, threads=threads: begin(i, work_s, threads))
    clock.run()
    return ends


def test_each_has_a_core_while_there_are_enough() -> None:
    assert ends_s(2, [(0, 1, 1), (0, 3, 1)]) == pytest.approx([1, 3])


def test_cores_are_shared_equally_when_there_are_not() -> None:
    assert ends_s(1, [(0, 1, 1), (0, 1, 1)]) == pytest.approx([2, 2])
    assert ends_s(1, [(0, 1, 1), (0, 3, 1)]) == pytest.approx([2, 4])
    assert ends_s(1, [(0, 2, 1), (1, 0.5, 1)]) == pytest.approx([2.5, 2.0])


def test_one_with_more_threads_has_more() -> None:
    assert ends_s(2, [(0, 1, 2), (0, 1, 2)]) == pytest.approx([2, 2])
    assert ends_s(2, [(0, 1, 1), (0, 1, 2)]) == pytest.approx([1.5, 1.5])


@given(
    st.sampled_from([1.0, 2.0, 3.0]),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 3), st.sampled_from([1.0, 2.0])), min_size=1, max_size=12),
)
def test_nothing_is_quicker_than_alone_and_no_core_idles(cores: float, tasks: list[tuple[float, float, float]]) -> None:
    ends = ends_s(cores, tasks)
    for (at_s, work_s, threads), end_s in zip(tasks, ends, strict=True):
        assert end_s >= at_s + work_s * max(1.0, threads / cores) - 1e-6
    # All work is done by the time that the last would take if all came last and shared the cores.
    work_s = sum(work_s * max(1.0, threads / cores) for _, work_s, threads in tasks)
    assert max(ends) <= max(at_s for at_s, _, _ in tasks) + work_s + 1e-6


def test_one_that_is_stopped_leaves_the_others_its_part() -> None:
    clock, said = Clock(), []
    processor = Processor(clock, 1)
    task = processor.run(1.0, lambda: said.append("a"))
    processor.run(1.0, lambda: said.append(clock.now_s()))
    clock.after(0.5, lambda: processor.stop(task))
    clock.run()
    assert said == pytest.approx([1.25])
    processor.stop(task)
    assert processor.busy_s == pytest.approx(1.25)


def test_a_thread_does_one_thing_after_another() -> None:
    clock, said = Clock(), []
    thread = Thread(Processor(clock, 4))
    for name in "abc":
        thread.run(1.0, lambda name=name: said.append((name, clock.now_s())))
    thread.run(0.0, lambda: said.append(("nothing", clock.now_s())))
    clock.run()
    assert said == [("nothing", 0.0), ("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_a_thread_that_was_asleep_does_more() -> None:
    clock = Clock()
    thread = Thread(Processor(clock, 1), wake_s=0.5)
    ends: list[float] = []
    for at_s in (0.0, 0.1, 4.0):
        clock.after(at_s, lambda: thread.run(1.0, lambda: ends.append(clock.now_s())))
    clock.run()
    assert ends == pytest.approx([1.5, 2.5, 5.5])
