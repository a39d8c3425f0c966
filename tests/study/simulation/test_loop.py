from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from sonic.study.simulation.clock import Clock
from sonic.study.simulation.loop import Loop
from sonic.study.simulation.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable


class Bench:
    """A loop, and when it had done what."""

    def __init__(self, wake_s: float = 0.0) -> None:
        self.clock = Clock()
        self.loop = Loop(Processor(self.clock, 1), wake_s)
        self.done: list[tuple[str, float]] = []

    def at(self, at_s: float, name: str, work_s: float, then: Callable[[], object] = int) -> None:
        self.clock.after(at_s, lambda: self.loop.run(work_s, self.noted(name, then)))

    def noted(self, name: str, then: Callable[[], object] = int) -> Callable[[], object]:
        def done() -> None:
            self.done.append((name, self.clock.now_s()))
            then()

        return done

    def run(self) -> list[tuple[str, float]]:
        self.clock.run()
        return self.done


def test_it_does_one_thing_after_another_and_wakes_up_for_the_first() -> None:
    bench = Bench(wake_s=0.5)
    for at_s, name in ((0.0, "a"), (0.1, "b"), (5.0, "c")):
        bench.at(at_s, name, 1.0)
    assert bench.run() == [("a", 1.5), ("b", 2.5), ("c", 6.5)]


def test_what_is_to_be_done_soon_waits_for_what_was_there_when_the_turn_began_and_no_longer() -> None:
    bench = Bench()
    bench.at(0.0, "first", 1.0)
    bench.at(0.5, "a", 1.0, lambda: bench.loop.soon(0.0, bench.noted("end of turn")))
    bench.at(0.6, "b", 1.0)
    bench.at(1.5, "late", 1.0)
    assert bench.run() == [("first", 1), ("a", 2), ("b", 3), ("end of turn", 3), ("late", 4)]


def test_what_comes_meanwhile_is_read_before_what_the_end_of_a_turn_leaves_to_do() -> None:
    bench = Bench()
    loop = bench.loop

    def end() -> None:
        loop.at_once(1.0, bench.noted("execution", lambda: loop.answer(1.0, bench.noted("answer"))))

    bench.at(0.0, "read", 1.0, lambda: loop.soon(0.0, end))
    bench.at(1.5, "next", 1.0)
    assert bench.run() == [("read", 1), ("execution", 2), ("next", 3), ("answer", 4)]


def test_who_reads_executes_and_answers_before_reading_on() -> None:
    bench = Bench()
    loop = bench.loop

    def execute(name: str) -> None:
        write = bench.noted(f"{name} answered")
        loop.at_once(1.0, bench.noted(f"{name} executed", lambda: loop.answer(0.5, write)))

    for name in "ab":
        bench.at(0.0, name, 1.0, partial(execute, name))
    expected = [("a", 1), ("a executed", 2), ("a answered", 2.5), ("b", 3.5), ("b executed", 4.5), ("b answered", 5)]
    assert bench.run() == expected


def test_an_answer_of_another_thread_waits_its_turn() -> None:
    bench = Bench()
    bench.at(0.0, "a", 1.0)
    bench.clock.after(0.5, lambda: bench.loop.answer(1.0, bench.noted("answer")))
    bench.at(0.6, "b", 1.0)
    assert bench.run() == [("a", 1), ("answer", 2), ("b", 3)]


@pytest.mark.parametrize("wake_s", [0.0, 0.25])
def test_what_takes_no_time_is_done_in_its_turn_nevertheless(wake_s: float) -> None:
    bench = Bench(wake_s)
    bench.at(0.0, "a", 0.0, lambda: bench.loop.at_once(1.0, bench.noted("execution")))
    bench.at(0.5, "b", 0.0)
    assert bench.run() == [("a", wake_s), ("execution", 1 + wake_s), ("b", 1 + wake_s)]
