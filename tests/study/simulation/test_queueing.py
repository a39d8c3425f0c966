from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from sonic.errors import DeadlineExceeded, Unavailable
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy
from sonic.study.simulation.clock import Clock
from sonic.study.simulation.executors import Computing
from sonic.study.simulation.loop import Loop
from sonic.study.simulation.processor import Processor
from sonic.study.simulation.queueing import ModelQueue
from sonic.study.simulation.service import Service

if TYPE_CHECKING:
    from typing import Any

    from sonic.errors import InferenceError


class Bench:
    """A queue, and when each request ended, and how."""

    def __init__(
        self, policy: BatchPolicy, service: Service, cores: float = 8, speed: float = 1.0, **settings: Any
    ) -> None:
        self.clock = Clock()
        computing = Computing(service, Processor(self.clock, cores), Random(1), speed=speed)
        self.queue = ModelQueue(self.clock, policy, computing, **settings)
        self.ends: dict[str, tuple[float, InferenceError | None]] = {}

    def at(self, at_s: float, name: str, rows: int = 1, timeout_s: float | None = None) -> None:
        def answer(error: InferenceError | None) -> None:
            assert name not in self.ends
            self.ends[name] = self.clock.now_s(), error

        self.clock.after(at_s, lambda: self.queue.submit(rows, answer, timeout_s))

    def ended(self) -> dict[str, float]:
        self.clock.run()
        assert all(error is None for _, error in self.ends.values())
        return {name: at_s for name, (at_s, _) in self.ends.items()}


def test_without_batching_one_goes_after_another() -> None:
    bench = Bench(BatchPolicy(), Service(execution_s=1.0))
    for name in "abc":
        bench.at(0.0, name)
    assert bench.ended() == {"a": 1.0, "b": 2.0, "c": 3.0}
    counts = bench.queue.counts
    assert (counts.requests, counts.executions, counts.queue_s, counts.infer_s) == (3, 3, 3.0, 3.0)


def test_what_gathers_while_the_instance_is_busy_goes_together() -> None:
    bench = Bench(BatchPolicy(max_rows=8), Service(execution_s=1.0))
    for at_s, name in ((0.0, "a"), (0.1, "b"), (0.2, "c")):
        bench.at(at_s, name)
    assert bench.ended() == {"a": 1.0, "b": 2.0, "c": 2.0}


def test_a_batch_has_no_more_rows_than_the_policy_lets() -> None:
    bench = Bench(BatchPolicy(max_rows=4), Service(execution_s=1.0))
    for name in "abcd":
        bench.at(0.0, name, rows=2)
    assert bench.ended() == {"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0}


def test_an_idle_instance_waits_for_company_if_the_policy_says_so() -> None:
    bench = Bench(BatchPolicy(max_rows=8, max_delay_s=0.5, preferred_rows=(2,)), Service(execution_s=1.0))
    for at_s, name in ((0.0, "a"), (2.0, "b"), (2.2, "c")):
        bench.at(at_s, name)
    assert bench.ended() == pytest.approx({"a": 1.5, "b": 3.2, "c": 3.2})


def test_instances_run_side_by_side_and_share_what_they_run_on() -> None:
    bench = Bench(BatchPolicy(), Service(execution_s=1.0), instances=2)
    for name in "abc":
        bench.at(0.0, name)
    assert bench.ended() == {"a": 1.0, "b": 1.0, "c": 2.0}
    bench = Bench(BatchPolicy(), Service(execution_s=1.0), cores=1, instances=2)
    for name in "ab":
        bench.at(0.0, name)
    assert bench.ended() == {"a": 2.0, "b": 2.0}


def test_an_instance_takes_time_between_executions() -> None:
    bench = Bench(BatchPolicy(), Service(execution_s=1.0), handover_s=0.5, speed=2.0)
    for name in "ab":
        bench.at(0.0, name)
    assert bench.ended() == {"a": 0.5, "b": 1.5}


def test_what_wakes_up_takes_longer() -> None:
    bench = Bench(BatchPolicy(max_rows=2, max_delay_s=0.2), Service(execution_s=1.0), wake_s=0.5)
    bench.at(0.0, "a", rows=2)
    bench.at(0.1, "b", rows=2)
    bench.at(9.0, "c")
    assert bench.ended() == pytest.approx({"a": 1.5, "b": 2.5, "c": 10.7})
    assert bench.queue.counts.sizes == {1: (1, pytest.approx(1.5)), 2: (2, pytest.approx(2.5))}


@pytest.mark.parametrize(("less_s", "took_s"), [(0.25, 0.75), (2.0, 0.0)])
def test_what_nothing_disturbs_may_take_less_and_never_less_than_nothing(less_s: float, took_s: float) -> None:
    bench = Bench(BatchPolicy(), Service(execution_s=1.0), wake_s=-less_s)
    bench.at(0.0, "a")
    bench.at(0.0, "b")
    assert bench.ended() == {"a": took_s, "b": took_s + 1}


def test_a_full_queue_refuses() -> None:
    bench = Bench(BatchPolicy(queue=QueuePolicy(max_size=1)), Service(execution_s=1.0))
    for name in "abc":
        bench.at(0.0, name)
    bench.clock.run()
    assert isinstance(bench.ends["c"][1], Unavailable)
    assert (bench.ends["b"], bench.queue.counts.failures) == ((2.0, None), 1)


def test_what_waits_longer_than_it_may_ends_then() -> None:
    bench = Bench(BatchPolicy(queue=QueuePolicy(timeout_s=0.7)), Service(execution_s=1.0))
    bench.at(0.0, "a")
    bench.at(0.1, "b")
    bench.at(0.1, "c", timeout_s=0.3)  # which its policy does not let it say, but its deadline holds
    bench.clock.run()
    assert {name: at_s for name, (at_s, _) in bench.ends.items()} == pytest.approx({"a": 1.0, "b": 0.8, "c": 0.4})
    assert isinstance(bench.ends["b"][1], DeadlineExceeded)


def test_what_is_forgotten_is_not_answered_and_the_next_finds_it_idle() -> None:
    bench = Bench(BatchPolicy(), Service(execution_s=1.0), handover_s=0.1)
    for name in "ab":
        bench.at(0.0, name)
    bench.clock.after(0.5, bench.queue.clear)
    bench.at(0.6, "c")
    assert bench.ended() == pytest.approx({"c": 1.6})
    assert (bench.queue.counts.failures, len(bench.queue)) == (2, 0)


def test_it_learns_how_many_rows_are_worth_an_execution() -> None:
    costly = Service(table={"1": 1.0, "2": 2.0, "4": 8.0, "8": 32.0})

    def largest(*, learns: bool) -> float:
        bench = Bench(BatchPolicy(max_rows=8), costly, learns=learns)
        for number in range(600):
            bench.at(0.8 * number, str(number))
        bench.clock.run()
        return bench.queue.counts.rows / bench.queue.counts.executions

    assert largest(learns=True) < 2 < largest(learns=False)


class LoopBench(Bench):
    """A queue whose requests an event loop reads, which takes `read_s` for each."""

    def __init__(
        self, policy: BatchPolicy, service: Service, short_s: float = 1.0, read_s: float = 0.1, **settings: Any
    ) -> None:
        super().__init__(policy, service, short_s=short_s, **settings)
        self.read_s = read_s
        self.loop = Loop(Processor(self.clock, 1))

    def at(self, at_s: float, name: str, rows: int = 1, timeout_s: float | None = None) -> None:
        def answer(error: InferenceError | None) -> None:
            self.ends[name] = self.clock.now_s(), error

        def read() -> None:
            self.queue.submit(rows, answer, timeout_s, self.loop)

        self.clock.after(at_s, lambda: self.loop.run(self.read_s, read))


def test_what_is_known_to_be_short_the_loop_executes_itself() -> None:
    bench = LoopBench(BatchPolicy(), Service(execution_s=0.5), handover_s=0.2)
    bench.at(0.0, "unknown")
    for name in "ab":
        bench.at(1.0, name)
    assert bench.ended() == pytest.approx({"unknown": 0.6, "a": 1.6, "b": 2.4})
    assert bench.queue.counts.queue_s == pytest.approx(0)


def test_what_is_not_short_runs_beside_the_loop() -> None:
    bench = LoopBench(BatchPolicy(), Service(execution_s=0.5), short_s=0.4, instances=2)
    for at_s, name in ((0.0, "unknown"), (1.0, "a"), (1.0, "b")):
        bench.at(at_s, name)
    assert bench.ended() == pytest.approx({"unknown": 0.6, "a": 1.6, "b": 1.7})


def test_requests_of_one_turn_are_executed_together_at_its_end_while_together_they_are_short() -> None:
    bench = LoopBench(BatchPolicy(max_rows=8), Service(execution_s=0.2, row_s=0.1), wake_s=0.05, turn_s=0.04)
    bench.at(0.0, "unknown")
    for name in "abcd":
        bench.at(1.0, name)
    bench.at(1.15, "late")
    ends = bench.ended()
    assert ends["unknown"] == pytest.approx(0.1 + 0.05 + 0.3)
    assert ends["a"] == pytest.approx(1.1 + 0.04 + 0.3)  # which wakes the loop up: a turn by itself
    sizes = {rows: number for rows, (number, _) in bench.queue.counts.sizes.items()}
    assert sizes == {1: 2, 4: 1}
    assert ends["b"] == ends["c"] == ends["d"] == ends["late"]


def test_who_waits_shortly_for_company_waits_in_the_loop() -> None:
    policy = BatchPolicy(max_rows=8, max_delay_s=4e-4)
    bench = LoopBench(policy, Service(execution_s=0.2, row_s=0.1), handover_s=0.01, turn_s=1e-4, read_s=1e-4)
    bench.at(0.0, "unknown")
    for at_s, name in ((1.0, "a"), (1.0, "b"), (1.0003, "c"), (2.0, "alone")):
        bench.at(at_s, name)
    ends = bench.ended()
    assert ends["unknown"] == pytest.approx(1e-4 + 4e-4 + 0.3)
    assert ends["a"] == ends["b"] == ends["c"] == pytest.approx(1.0 + 1e-4 + 4e-4 + 0.5, abs=1e-4)
    assert ends["alone"] == pytest.approx(2.0 + 1e-4 + 4e-4 + 0.3, abs=2e-5)


def test_a_batch_that_is_full_does_not_wait_for_the_loop() -> None:
    policy = BatchPolicy(max_rows=2, max_delay_s=4e-4)
    bench = LoopBench(policy, Service(execution_s=0.2, row_s=0.1), read_s=1e-4)
    bench.at(0.0, "unknown")
    for name in "abc":
        bench.at(1.0, name)
    ends = bench.ended()
    assert ends["a"] == ends["b"] == pytest.approx(1.0002 + 0.4)
    assert ends["c"] == pytest.approx(1.4003 + 4e-4 + 0.3, abs=1e-4)


def test_a_queue_that_is_cleared_begins_a_turn_anew() -> None:
    bench = LoopBench(BatchPolicy(max_rows=8), Service(execution_s=0.2))
    bench.at(0.0, "unknown")
    bench.at(1.0, "lost")
    bench.clock.after(1.2, bench.queue.clear)
    bench.at(2.0, "next")
    bench.clock.run()
    assert {name: at_s for name, (at_s, _) in bench.ends.items()} == pytest.approx({"unknown": 0.3, "next": 2.3})
