from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import Cancelled, DeadlineExceeded, ModelFailed, Unavailable
from sonic.protocol.messages import InferResponse
from sonic.server.execution.instances import CallInstance, Instance, Reply, Rows
from sonic.server.execution.plan import Plan
from sonic.server.scheduling.budget import Budget
from sonic.server.scheduling.job import Job
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy
from sonic.server.scheduling.scheduler import Scheduler
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sonic.server.execution.instances import Call

SPEC = ModelSpec(
    "m",
    "1",
    (TensorSpec("x", DType.FP32, (-1, 1)),),
    (TensorSpec("y", DType.FP32, (-1, 1)), TensorSpec("z", DType.FP32, (-1, 1))),
    64,
)


class Gated(Instance):
    """``y = 2 x``, ``z = -x``; waits where it is told to, and raises on values below zero."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.threads: list[int] = []
        self.batches: list[list[float]] = []
        self.error: Callable[[], BaseException] = lambda: ValueError("below zero")

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        x = inputs["x"]
        self.threads.append(threading.get_ident())
        self.batches.append(x[:, 0].tolist())
        self.started.release()
        assert self.gate.wait(30)
        if (x < 0).any():
            raise self.error()
        return {"y": 2 * x, "z": -x}

    def wait_started(self) -> None:
        assert self.started.acquire(timeout=10)


def job(
    *values: float,
    wanted: tuple[str, ...] = ("y",),
    timeout_s: float | None = None,
    shape: object = None,
    priority: int = 0,
) -> Job:
    x = np.array(values, np.float32).reshape(-1, 1)
    return Job({"x": x}, len(x), wanted, respond, shape, timeout_s, priority=priority)


def respond(reply: Reply) -> InferResponse:
    return InferResponse("m", "1", reply.outputs, parameters=reply.parameters)


def values(future: Any, output: str = "y") -> list[float]:
    return future.result(10).outputs[output][:, 0].tolist()


class Bench:
    def __init__(self) -> None:
        self.instance = Gated()
        self.made: list[Scheduler] = []

    def scheduler(
        self, policy: BatchPolicy | None = None, count: int = 1, rows: Rows | None = None, *, short_s: float = 0.0
    ) -> Scheduler:
        plan = Plan(SPEC, rows or Rows(), {}, {})
        policy = policy or BatchPolicy(max_rows=64)
        self.made.append(Scheduler(plan, policy, [self.instance] * count, short_s=short_s))
        return self.made[-1]

    def busy(self, scheduler: Scheduler, count: int = 1, timeout_s: float | None = None) -> list[Any]:
        """Keep every instance in an execution, in worker threads, until the gate opens."""
        self.instance.gate.clear()
        futures = []
        for _ in range(count):
            futures.append(scheduler.submit(job(1, timeout_s=timeout_s), inline=False))
            self.instance.wait_started()
        return futures


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.instance.gate.set()
    for scheduler in bench.made:
        scheduler.close()


def test_an_idle_instance_runs_in_the_thread_that_brought_the_request(bench: Bench) -> None:
    scheduler = bench.scheduler()
    future = scheduler.submit(job(1, 2))
    assert future.done()
    assert values(future) == [2, 4]
    assert bench.instance.threads == [threading.get_ident()]


def test_not_inline_means_another_thread(bench: Bench) -> None:
    future = bench.scheduler().submit(job(1), inline=False)
    assert values(future) == [2]
    assert bench.instance.threads != [threading.get_ident()]


@pytest.mark.parametrize("short_s", [0.0, 3e-4])
def test_who_must_not_wait_executes_what_is_known_to_be_short(
    short_s: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    used_s = iter([0.0, 1e-5, 0.0, 1.0, 0.0, 1.0])  # of the processor, before and after an execution in another thread
    monkeypatch.setattr("sonic.server.scheduling.scheduler.time.thread_time", lambda: next(used_s))
    scheduler = bench.scheduler(short_s=short_s)
    for rows in (1, 1, 1000, 1):  # of unknown duration; short; of a size that takes long; as the first
        turn: list[Callable[[], None]] = []
        future = scheduler.submit(job(*range(rows)), inline=turn.append)
        for end in turn:
            end()
        assert future.result(10)
    here = [thread == threading.get_ident() for thread in bench.instance.threads]
    assert here == [False, short_s > 0, False, short_s > 0]


def test_what_fails_at_once_is_not_taken_for_short(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    used_s = iter([0.0, 1.0, 0.0, 1e-5, 0.0, 1.0])  # of the processor, before and after each execution
    monkeypatch.setattr("sonic.server.scheduling.scheduler.time.thread_time", lambda: next(used_s))
    scheduler = bench.scheduler(BatchPolicy(), short_s=3e-4)
    assert values(scheduler.submit(job(1), inline=False)) == [2]
    with pytest.raises(ModelFailed):
        scheduler.submit(job(-1), inline=False).result(10)
    assert values(scheduler.submit(job(1), inline=[].append)) == [2]
    assert threading.get_ident() not in bench.instance.threads


class Loop:
    """An event loop's ``call_soon``, whose turns end when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def end_turn(self) -> None:
        calls, self.waiting = self.waiting, []
        for call in calls:
            call()


@pytest.fixture
def short(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scheduler]:
    """Make a scheduler that knows that one to 100 rows are short."""

    def make(policy: BatchPolicy | None = None) -> Scheduler:
        monkeypatch.setattr("sonic.server.scheduling.scheduler.time.thread_time", lambda: 0.0)
        scheduler = bench.scheduler(policy, short_s=1e-3)
        scheduler.submit(job(1), inline=False).result(10)
        monkeypatch.setattr("sonic.server.scheduling.scheduler.Experience.is_short", lambda _, n_bytes: n_bytes <= 400)
        bench.instance.batches.clear()
        bench.instance.threads.clear()
        return scheduler

    return make


def test_what_comes_in_one_turn_of_an_event_loop_is_executed_together_in_its_thread(
    bench: Bench, short: Callable[..., Scheduler]
) -> None:
    scheduler, loop = short(), Loop()
    futures = [scheduler.submit(job(value), inline=loop.call_soon) for value in (1, 2, 3)]
    assert not bench.instance.batches
    assert len(loop.waiting) == 1
    loop.end_turn()
    assert [future.done() for future in futures] == [True] * 3
    assert [values(future) for future in futures] == [[2], [4], [6]]
    assert bench.instance.batches == [[1, 2, 3]]
    assert bench.instance.threads == [threading.get_ident()]
    assert scheduler.pending == 0


@pytest.mark.interpreted
def test_what_would_together_take_too_long_is_not_gathered(bench: Bench, short: Callable[..., Scheduler]) -> None:
    scheduler, loop = short(), Loop()
    first = [scheduler.submit(job(*range(30)), inline=loop.call_soon) for _ in range(3)]
    last = scheduler.submit(job(*range(30)), inline=loop.call_soon)
    assert all(future.result(10) for future in (*first, last))  # though the turn has not ended
    loop.end_turn()
    assert [len(batch) for batch in bench.instance.batches] == [60, 60]


@pytest.mark.interpreted
def test_the_loop_does_not_execute_what_takes_long_because_it_came_with_what_does_not(
    bench: Bench, short: Callable[..., Scheduler]
) -> None:
    scheduler, loop = short(BatchPolicy(max_rows=1000)), Loop()
    futures = [scheduler.submit(job(*range(rows)), inline=loop.call_soon) for rows in (1, 500)]
    loop.end_turn()
    assert all(future.result(10) for future in futures)
    assert threading.get_ident() not in bench.instance.threads


def test_a_queue_with_little_room_does_not_refuse_what_an_idle_instance_can_take(
    bench: Bench, short: Callable[..., Scheduler]
) -> None:
    scheduler, loop = short(BatchPolicy(max_rows=64, queue=QueuePolicy(max_size=2))), Loop()
    futures = [scheduler.submit(job(value), inline=loop.call_soon) for value in range(5)]
    loop.end_turn()
    assert [values(future) for future in futures] == [[2 * value] for value in range(5)]


def test_a_model_that_does_not_merge_is_executed_at_once(bench: Bench, short: Callable[..., Scheduler]) -> None:
    scheduler, loop = short(BatchPolicy()), Loop()
    assert [scheduler.submit(job(value), inline=loop.call_soon).done() for value in (1, 2)] == [True, True]
    assert not loop.waiting


@pytest.fixture
def lingering(short: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scheduler]:
    """Make a scheduler with a delay that the event loop waits for; its time is what ``time_s[0]`` says."""

    def make(time_s: list[float], **policy: Any) -> Scheduler:
        scheduler = short(BatchPolicy(max_delay_s=4e-4, **policy))
        monkeypatch.setattr("sonic.server.scheduling.scheduler.time.monotonic", lambda: time_s[0])
        return scheduler

    return make


def test_who_waits_shortly_for_company_waits_in_the_event_loop(
    bench: Bench, lingering: Callable[..., Scheduler]
) -> None:
    time_s, loop = [1.0], Loop()
    scheduler = lingering(time_s, max_rows=64)
    futures = []
    for value in (1, 2, 3):
        futures.append(scheduler.submit(job(value), inline=loop.call_soon))
        loop.end_turn()
        assert len(loop.waiting) == 1
        assert not bench.instance.batches
        time_s[0] += 1e-4
    time_s[0] += 2e-4
    futures.append(scheduler.submit(job(4), inline=loop.call_soon))  # it came in the turn in which the time is over
    loop.end_turn()
    assert [values(future) for future in futures] == [[2], [4], [6], [8]]
    assert bench.instance.batches == [[1, 2, 3, 4]]
    assert bench.instance.threads == [threading.get_ident()]
    assert not loop.waiting


def test_a_batch_that_is_full_does_not_wait_for_the_end_of_the_turn(
    bench: Bench, lingering: Callable[..., Scheduler]
) -> None:
    loop = Loop()
    scheduler = lingering([1.0], max_rows=8, preferred_rows=(3,))
    futures = [scheduler.submit(job(value), inline=loop.call_soon) for value in range(7)]
    assert bench.instance.batches == [[0, 1, 2], [3, 4, 5]]
    assert bench.instance.threads == [threading.get_ident()] * 2
    assert [future.done() for future in futures] == [True] * 6 + [False]
    assert len(loop.waiting) == 1


@pytest.mark.interpreted
def test_with_what_would_take_too_long_a_thread_waits_for_company(
    bench: Bench, lingering: Callable[..., Scheduler]
) -> None:
    time_s, loop = [1.0], Loop()
    scheduler = lingering(time_s, max_rows=200)
    first = [scheduler.submit(job(*range(30)), inline=loop.call_soon) for _ in range(3)]
    time_s[0] += 1e-3
    last = scheduler.submit(job(*range(30)), inline=loop.call_soon)
    assert all(future.result(10) for future in (*first, last))  # though the turn has not ended
    loop.end_turn()
    assert [len(batch) for batch in bench.instance.batches] == [120]
    assert bench.instance.threads != [threading.get_ident()]
    assert not loop.waiting


def test_what_waited_in_the_loop_for_company_leaves_it_when_it_is_cancelled_or_the_scheduler_closes(
    bench: Bench, lingering: Callable[..., Scheduler]
) -> None:
    loop = Loop()
    scheduler = lingering([1.0], max_rows=64)
    future = scheduler.submit(job(1), inline=loop.call_soon)
    assert future.cancel()
    loop.end_turn()
    assert not loop.waiting
    future = scheduler.submit(job(1), inline=loop.call_soon)
    scheduler.close()
    loop.end_turn()
    assert not loop.waiting
    with pytest.raises(Unavailable):
        future.result(10)
    assert not bench.instance.batches


def test_what_gathered_while_the_scheduler_closes_ends(bench: Bench, short: Callable[..., Scheduler]) -> None:
    scheduler, loop = short(), Loop()
    future = scheduler.submit(job(1), inline=loop.call_soon)
    scheduler.close()
    with pytest.raises(Unavailable):
        future.result(10)
    loop.end_turn()
    assert not bench.instance.batches


def test_what_gathered_and_is_cancelled_is_not_executed(bench: Bench, short: Callable[..., Scheduler]) -> None:
    scheduler, loop = short(), Loop()
    future, other = (scheduler.submit(job(value), inline=loop.call_soon) for value in (1, 2))
    assert future.cancel()
    loop.end_turn()
    assert values(other) == [4]
    assert bench.instance.batches == [[2]]


def test_what_gathered_and_is_too_late_ends(bench: Bench, short: Callable[..., Scheduler]) -> None:
    scheduler, loop = short(), Loop()
    future = scheduler.submit(job(1, timeout_s=1e-9), inline=loop.call_soon)
    loop.end_turn()
    with pytest.raises(DeadlineExceeded):
        future.result(10)
    assert not bench.instance.batches


def test_only_the_outputs_wanted(bench: Bench) -> None:
    response = bench.scheduler().submit(job(1, wanted=("z",))).result()
    assert list(response.outputs) == ["z"]


def test_requests_gather_while_the_instance_is_busy(bench: Bench) -> None:
    scheduler = bench.scheduler()
    (first,) = bench.busy(scheduler)
    later = [scheduler.submit(job(value, wanted=w)) for value, w in ((2, ("y",)), (3, ("z",)), (4, ("z", "y")))]
    assert scheduler.pending == 3
    bench.instance.gate.set()
    assert values(first) == [2]
    assert [values(later[0]), values(later[1], "z"), values(later[2])] == [[4], [-3], [8]]
    assert list(later[2].result().outputs) == ["z", "y"]  # as it asked for them
    assert bench.instance.batches == [[1], [2, 3, 4]]
    row = scheduler.statistics()
    assert (row.execution_count, row.inference_count, row.success.count, row.queue.count) == (2, 4, 4, 4)
    assert row.queue.total_ns > 0


@pytest.mark.interpreted
@pytest.mark.parametrize(("delay_s", "limited"), [(0.0, True), (1e-7, False)])
def test_no_more_rows_go_together_than_pay_unless_that_is_asked_for(
    delay_s: float, limited: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0

    def run(inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        nonlocal now_s
        outputs = Gated.run(bench.instance, inputs, wanted)
        rows = len(inputs["x"])
        now_s += rows * (1.0 if rows < 8 else 2.0)
        return outputs

    def monotonic() -> float:
        nonlocal now_s
        now_s += 1e-6
        return now_s

    monkeypatch.setattr(bench.instance, "run", run)
    for user in ("scheduler", "experience"):
        monkeypatch.setattr(f"sonic.server.scheduling.{user}.time", SimpleNamespace(monotonic=monotonic))
    scheduler = bench.scheduler(BatchPolicy(max_rows=64, max_delay_s=delay_s))
    for _ in range(20):
        bench.instance.started = threading.Semaphore(0)
        futures = bench.busy(scheduler)
        futures += [scheduler.submit(job(value), inline=False) for value in range(16)]
        bench.instance.gate.set()
        assert [values(future) for future in futures[1:]] == [[2 * value] for value in range(16)]
    largest = max(map(len, bench.instance.batches[-8:]))
    assert largest < 8 if limited else largest == 16


def test_the_thread_that_brings_one_runs_what_waits_for_company(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=3, max_delay_s=60))
    first = scheduler.submit(job(1))
    assert not first.done()
    second = scheduler.submit(job(2, 3))
    assert first.done()
    assert (values(first), values(second)) == ([2], [4, 6])
    assert bench.instance.threads == [threading.get_ident()]


def test_the_delay_ends_by_itself(bench: Bench) -> None:
    future = bench.scheduler(BatchPolicy(max_rows=3, max_delay_s=0.01)).submit(job(1))
    assert values(future) == [2]


def test_instances_run_side_by_side(bench: Bench) -> None:
    scheduler = bench.scheduler(count=3)
    futures = bench.busy(scheduler, 3)
    assert len(set(bench.instance.threads)) == 3
    bench.instance.gate.set()
    assert [values(future) for future in futures] == [[2]] * 3


def test_an_error_reaches_only_the_requests_that_cause_it(bench: Bench) -> None:
    scheduler = bench.scheduler()
    (first,) = bench.busy(scheduler)
    good, bad, other = (scheduler.submit(job(value)) for value in (5, -1, 7))
    bench.instance.gate.set()
    assert (values(first), values(good), values(other)) == ([2], [10], [14])
    with pytest.raises(ModelFailed, match="model 'm' failed: ValueError: below zero"):
        bad.result(10)
    assert bench.instance.batches == [[1], [5, -1, 7], [5], [-1], [7]]
    row = scheduler.statistics()
    assert (row.success.count, row.fail.count, row.execution_count) == (3, 1, 3)


def test_a_deadline_ends_a_request_that_waits(bench: Bench) -> None:
    scheduler = bench.scheduler()
    (first,) = bench.busy(scheduler)
    late = scheduler.submit(job(2, timeout_s=0.01))
    with pytest.raises(DeadlineExceeded, match=r"model 'm': the deadline of 0\.01 s comes before the result"):
        late.result(10)
    bench.instance.gate.set()
    assert values(first) == [2]
    assert bench.instance.batches == [[1]]


def test_a_deadline_ends_a_request_in_a_model_that_hangs(bench: Bench) -> None:
    scheduler = bench.scheduler()
    (hung,) = bench.busy(scheduler, timeout_s=0.3)
    with pytest.raises(DeadlineExceeded):
        hung.result(10)
    waiting = scheduler.submit(job(2))
    bench.instance.gate.set()
    assert values(waiting) == [4]
    assert scheduler.statistics().fail.count == 1


def test_a_deadline_ends_a_request_though_who_watched_it_executes_another(bench: Bench, until: Any) -> None:
    scheduler = bench.scheduler(count=2)
    (hung,) = bench.busy(scheduler, timeout_s=0.5)
    until(lambda: scheduler._threads._asleep)
    bench.busy(scheduler)
    with pytest.raises(DeadlineExceeded):
        hung.result(10)


def test_a_deadline_that_has_passed_is_not_executed(bench: Bench) -> None:
    future = bench.scheduler().submit(job(1, timeout_s=0.0))
    with pytest.raises(DeadlineExceeded):
        future.result(10)
    assert bench.instance.batches == []


@pytest.mark.parametrize("timeout_s", [1e10, 9.3e18, float("inf")])
def test_a_timeout_that_never_comes(timeout_s: float, bench: Bench) -> None:
    scheduler = bench.scheduler()
    (first,) = bench.busy(scheduler, timeout_s=timeout_s)
    waiting = scheduler.submit(job(2, timeout_s=timeout_s))
    bench.instance.gate.set()
    assert (values(first), values(waiting)) == ([2], [4])


def test_a_request_that_waits_can_be_cancelled(bench: Bench) -> None:
    scheduler = bench.scheduler()
    (first,) = bench.busy(scheduler)
    gone, stays = scheduler.submit(job(2)), scheduler.submit(job(3))
    assert gone.cancel()
    assert not first.cancel()
    bench.instance.gate.set()
    assert values(stays) == [6]
    with pytest.raises(CancelledError):
        gone.result(10)
    assert scheduler.drain(10)
    assert bench.instance.batches == [[1], [3]]


def test_a_request_that_is_cancelled_makes_room_at_once(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, queue=QueuePolicy(max_size=2)))
    (first,) = bench.busy(scheduler)
    gone = [scheduler.submit(job(2)), scheduler.submit(job(3))]
    with pytest.raises(Unavailable, match="2 requests wait already"):
        scheduler.submit(job(4))
    for future in gone:
        assert future.cancel()
        assert future.cancel()
    assert scheduler.pending == 0
    assert scheduler.statistics().fail.count == 2
    assert wait(gone, 10).not_done == set()
    stays = scheduler.submit(job(5))
    bench.instance.gate.set()
    assert (values(first), values(stays)) == ([2], [10])
    assert bench.instance.batches == [[1], [5]]


def test_many_that_are_cancelled_in_a_long_queue_leave_it(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    bench.busy(scheduler)
    futures = [scheduler.submit(job(n)) for n in range(200)]
    for future in futures[:100]:
        assert future.cancel()
    assert 100 <= scheduler.pending < 120
    for future in futures[100:]:
        assert future.cancel()
    assert scheduler.pending == 0


def test_a_request_cancelled_before_it_comes_ends(bench: Bench) -> None:
    scheduler = bench.scheduler()
    gone = job(1)
    assert gone.future.cancel()
    with pytest.raises(CancelledError):
        scheduler.submit(gone).result(10)
    assert scheduler.drain(0.0)
    assert bench.instance.batches == []


def test_a_full_queue_refuses(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, queue=QueuePolicy(max_size=2)))
    futures = [*bench.busy(scheduler), scheduler.submit(job(2)), scheduler.submit(job(3))]
    with pytest.raises(Unavailable, match="model 'm': 2 requests wait already"):
        scheduler.submit(job(4))
    bench.instance.gate.set()
    assert [values(future) for future in futures] == [[2], [4], [6]]


def test_close_ends_everything(bench: Bench) -> None:
    scheduler = bench.scheduler()
    running, waiting = bench.busy(scheduler)[0], scheduler.submit(job(2))
    assert not scheduler.drain(0.0)
    released = threading.Event()
    scheduler.close(released.set)
    assert not released.is_set(), "an instance is still running"
    for future in (running, waiting):
        with pytest.raises(Unavailable, match="model 'm' is being unloaded"):
            future.result(10)
    with pytest.raises(Unavailable, match="model 'm' is being unloaded"):
        scheduler.submit(job(3))
    assert scheduler.drain(10)
    bench.instance.gate.set()
    assert released.wait(10)


def test_stop_takes_no_more_and_lets_the_others_go_on(bench: Bench) -> None:
    scheduler = bench.scheduler()
    futures = [*bench.busy(scheduler), scheduler.submit(job(2))]
    scheduler.stop()
    with pytest.raises(Unavailable, match="is being unloaded"):
        scheduler.submit(job(3))
    bench.instance.gate.set()
    assert [values(future) for future in futures] == [[2], [4]]


def test_drain_waits_for_the_last(bench: Bench) -> None:
    scheduler = bench.scheduler()
    futures = [*bench.busy(scheduler), scheduler.submit(job(2))]
    drained: list[bool] = []
    thread = threading.Thread(target=lambda: drained.append(scheduler.drain(30)))
    thread.start()
    bench.instance.gate.set()
    thread.join(10)
    assert drained == [True]
    assert all(future.done() for future in futures)
    released: list[bool] = []
    for _ in range(2):
        scheduler.close(lambda: released.append(True))
    assert released == [True], "once"


def test_an_interrupt_ends_the_request_and_frees_the_instance(bench: Bench) -> None:
    scheduler = bench.scheduler()
    bench.instance.error = KeyboardInterrupt
    interrupted = job(-1)
    with pytest.raises(KeyboardInterrupt):
        scheduler.submit(interrupted)
    with pytest.raises(Cancelled, match="was interrupted"):
        interrupted.future.result(0)
    assert values(scheduler.submit(job(1))) == [2]


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_the_system_gives_no_thread_nobody_waits_for_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Unavailable, match="model 'm': the system gives the server no thread"):
            scheduler.submit(job(1), inline=False).result(10)
    assert values(scheduler.submit(job(2), inline=False)) == [4]
    assert scheduler.drain(10)
    assert (scheduler.statistics().success.count, scheduler.statistics().fail.count) == (1, 1)


def test_who_finds_no_thread_for_the_next_request_keeps_its_own_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Followed(Gated):
        def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
            next_ones.append(scheduler.submit(job(2)))  # which waits, since this is the only instance
            return super().run(inputs, wanted)

    next_ones: list[Any] = []
    bench.instance = Followed()
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert values(scheduler.submit(job(1))) == [2]
    with pytest.raises(Unavailable, match="no thread"):
        next_ones[0].result(10)
    assert scheduler.drain(10)


def test_a_callback_may_submit_again(bench: Bench) -> None:
    scheduler = bench.scheduler()
    again: list[Any] = []
    first = job(1)
    first.future.add_done_callback(lambda _: again.append(scheduler.submit(job(2))))
    scheduler.submit(first)
    assert values(again[0]) == [4]


def test_padded_rows_count_against_the_maximum_but_not_in_the_statistics(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=8), rows=Rows(multiple=4))
    bench.busy(scheduler)
    futures = [scheduler.submit(job(value)) for value in (2, 3, 4)]
    bench.instance.gate.set()
    wait(futures, 10)
    assert [len(batch) for batch in bench.instance.batches] == [4, 8, 4]
    assert scheduler.statistics().inference_count == 4


def test_under_many_threads_every_request_ends_once_in_its_own_result(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=7, max_delay_s=0.0002), count=2)
    ended: list[int] = []

    def client(seed: int) -> None:
        for step in range(60):
            value = seed * 1000 + step
            if step % 13 == 5:
                value = -value - 1
            request = job(*([value] * (1 + step % 3)), shape=step % 2, timeout_s=None if step % 4 else 30.0)
            request.future.add_done_callback(lambda _: ended.append(1))
            future = scheduler.submit(request, inline=bool(step % 5))
            if value < 0:
                with pytest.raises(ModelFailed):
                    future.result(30)
            else:
                assert values(future) == [2 * value] * (1 + step % 3)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(client, seed) for seed in range(8)]:
            done.result(60)
    assert len(ended) == 8 * 60
    assert max(map(len, bench.instance.batches)) <= 7
    row = scheduler.statistics()
    assert row.success.count + row.fail.count == 8 * 60
    assert scheduler.pending == 0
    assert scheduler.drain(0.0)


class Listed(CallInstance):
    """``y = 2 x`` request by request; one below zero gets an error, 13 makes all of them fail."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []

    def run_calls(self, calls: Sequence[Call]) -> Any:
        self.lists.append([call.id for call in calls])
        if any((call.inputs["x"] == 13).any() for call in calls):
            raise ValueError("unlucky")
        return [ModelFailed("below") if (c.inputs["x"] < 0).any() else Reply({"y": 2 * c.inputs["x"]}) for c in calls]


def listed(bench: Bench, *numbers: float) -> tuple[Listed, Scheduler, list[Any]]:
    """Requests that are executed together: the delay ends with the last row."""
    instance = Listed()
    policy = BatchPolicy(max_rows=len(numbers), max_delay_s=60.0)
    bench.made.append(Scheduler(Plan(SPEC, Rows(), {}, {}), policy, [instance]))
    futures = []
    for number in numbers:
        request = job(number)
        request.id = str(number)
        futures.append(bench.made[-1].submit(request, inline=False))
    wait(futures, timeout=10)
    return instance, bench.made[-1], futures


def test_requests_given_as_they_are_end_each_in_its_own_way(bench: Bench) -> None:
    instance, scheduler, futures = listed(bench, 1, -1, 2)
    assert instance.lists == [["1", "-1", "2"]]
    assert [values(futures[0]), values(futures[2])] == [[2], [4]]
    with pytest.raises(ModelFailed, match="below"):
        futures[1].result()
    row = scheduler.statistics()
    assert (row.success.count, row.fail.count, row.execution_count) == (2, 1, 1)


def test_requests_given_as_they_are_are_tried_alone_when_all_fail(bench: Bench) -> None:
    instance, scheduler, futures = listed(bench, 1, 13, -1)
    assert instance.lists == [["1", "13", "-1"], ["1"], ["13"], ["-1"]]
    assert values(futures[0]) == [2]
    assert [type(future.exception()) for future in futures[1:]] == [ModelFailed, ModelFailed]
    assert scheduler.statistics().execution_count == 1


def test_who_asks_is_told_of_the_execution(bench: Bench) -> None:
    seen: list[Any] = []
    request = job(1)
    request.observe = seen.append
    assert values(bench.scheduler().submit(request)) == [2]
    assert seen[0].infer_ns > 0


def test_priorities_overtake(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, levels=2, default_level=2))
    bench.busy(scheduler)
    futures = [scheduler.submit(job(value, priority=p)) for value, p in ((2, 2), (3, 0), (4, 1), (5, 9))]
    bench.instance.gate.set()
    assert [values(future) for future in futures] == [[4], [6], [8], [10]]
    assert bench.instance.batches == [[1], [4], [2], [3], [5]]


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_a_queue_that_is_too_slow_refuses(timeout_s: float | None, bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=8, queues={2: QueuePolicy(timeout_s=0.01)}, levels=2))
    (first,) = bench.busy(scheduler)
    late = scheduler.submit(job(2, priority=2, timeout_s=timeout_s))
    with pytest.raises(Unavailable, match=r"model 'm': it waited for 0\.01 s, longer than the queue policy allows"):
        late.result(10)
    bench.instance.gate.set()
    assert values(first) == [2], "what runs does not wait"


def test_a_request_that_is_late_is_served_last(bench: Bench) -> None:
    queue = QueuePolicy(delays=True, allow_override=True)
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, queue=queue))
    bench.busy(scheduler)
    late = scheduler.submit(job(2, timeout_s=1e-9))
    on_time = scheduler.submit(job(3))
    bench.instance.gate.set()
    assert (values(late), values(on_time)) == ([4], [6])
    assert bench.instance.batches == [[1], [3], [2]]


def test_a_request_that_is_late_ends_at_its_own_deadline(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, queue=QueuePolicy(timeout_s=1e-9, delays=True)))
    bench.busy(scheduler)
    with pytest.raises(DeadlineExceeded):
        scheduler.submit(job(2, timeout_s=0.01)).result(10)


def test_a_queue_that_never_times_out(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=8, max_delay_s=1e13, queue=QueuePolicy(timeout_s=1e13)))
    futures = [scheduler.submit(job(1), inline=False), scheduler.submit(job(*range(7)), inline=False)]
    assert values(futures[0]) == [2]


class Shapes(Gated):
    """Holds the requests of one value until told otherwise."""

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        self.batches.append(inputs["x"][:, 0].tolist())
        self.started.release()
        if inputs["x"][0, 0] == 1:
            assert self.gate.wait(30)
        if (inputs["x"] < 0).any():
            raise self.error()
        return {"y": 2 * inputs["x"], "z": -inputs["x"]}


def ordered(bench: Bench) -> tuple[Scheduler, list[Any], list[int]]:
    """The first of several requests is held, while another instance executes the others."""
    bench.instance = Shapes()
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, in_order=True), count=2)
    bench.instance.gate.clear()
    ended: list[int] = []
    futures = []
    for value in (1, 2, -3, 4):
        request = job(value, timeout_s=60.0)
        request.future.add_done_callback(lambda _, value=value: ended.append(value))
        futures.append(scheduler.submit(request, inline=False))
    for _ in futures:
        bench.instance.wait_started()
    return scheduler, futures, ended


def test_results_keep_the_order_of_the_requests(bench: Bench) -> None:
    scheduler, futures, ended = ordered(bench)
    assert not scheduler.drain(0.0)
    assert ended == []
    bench.instance.gate.set()
    assert scheduler.drain(10)
    assert (values(futures[0]), values(futures[1]), values(futures[3])) == ([2], [4], [8])
    with pytest.raises(ModelFailed):
        futures[2].result(10)
    assert ended == [1, 2, -3, 4]
    assert (scheduler.statistics().success.count, scheduler.statistics().fail.count) == (3, 1)


def test_a_result_that_waits_its_turn_still_has_a_deadline(bench: Bench) -> None:
    bench.instance = Shapes()
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, in_order=True), count=2)
    bench.instance.gate.clear()
    hung = scheduler.submit(job(1), inline=False)
    bench.instance.wait_started()
    held = scheduler.submit(job(2, timeout_s=0.05))
    assert bench.instance.batches == [[1], [2]]
    with pytest.raises(DeadlineExceeded):
        held.result(10)
    bench.instance.gate.set()
    assert values(hung) == [2]


def test_the_end_gives_out_what_waits_its_turn(bench: Bench) -> None:
    bench.instance = Shapes()
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, in_order=True), count=2)
    bench.instance.gate.clear()
    hung = scheduler.submit(job(1), inline=False)
    bench.instance.wait_started()
    held = scheduler.submit(job(2))
    assert not held.done()
    scheduler.close()
    with pytest.raises(Unavailable):
        hung.result(10)
    assert values(held) == [4]


def test_results_do_not_wait_for_one_that_is_cancelled_in_the_queue(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, in_order=True, levels=2))
    bench.busy(scheduler)
    first = scheduler.submit(job(2, priority=2), inline=False)
    others = [scheduler.submit(job(3, priority=1), inline=False) for _ in range(9)]  # which are executed before it
    assert first.cancel()  # in a queue so long that it is not looked for
    bench.instance.gate.set()
    assert [values(future) for future in others] == [[6]] * 9
    assert scheduler.drain(10)


def test_results_do_not_wait_for_one_that_was_interrupted(bench: Bench) -> None:
    held: list[Any] = []

    class Interrupted(Gated):
        def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
            if inputs["x"][0, 0] != 1:
                return super().run(inputs, wanted)
            other = threading.Thread(target=lambda: held.append(scheduler.submit(job(2))))
            other.start()
            other.join(10)
            assert not held[0].done()
            raise KeyboardInterrupt

    bench.instance = Interrupted()
    scheduler = bench.scheduler(BatchPolicy(max_rows=1, in_order=True), count=2)
    with pytest.raises(KeyboardInterrupt):
        scheduler.submit(job(1))
    assert values(held[0]) == [4]


def test_overload_is_refused_at_once_and_what_was_accepted_goes_on(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=4, queue=QueuePolicy(max_size=8)))
    scheduler._experience._merging = None  # or some batches would be smaller, to see what is worth merging
    permits = threading.Semaphore(0)
    bench.instance.gate = SimpleNamespace(wait=lambda _: permits.acquire(timeout=30), set=lambda: None)
    accepted, refused = [scheduler.submit(job(0), inline=False)], 0
    bench.instance.wait_started()
    for value in range(1, 61):  # twelve arrive while a batch of four is executed
        try:
            accepted.append(scheduler.submit(job(value), inline=False))
        except Unavailable:
            refused += 1
        assert scheduler.pending <= 8
        if value % 12 == 0:
            permits.release()
            bench.instance.wait_started()
    permits.release(100)
    assert scheduler.drain(10)
    assert all(future.result(0) for future in accepted)
    assert len(accepted) + refused == 61
    assert scheduler.statistics().success.count == len(accepted)
    assert [len(batch) for batch in bench.instance.batches] == [1, *[4] * ((len(accepted) - 1) // 4)]


def test_under_load_nothing_is_begun_that_cannot_be_done_in_time(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    scheduler._experience._pace.usual_s = 10.0
    (first,) = bench.busy(scheduler)
    futures = [scheduler.submit(job(2, timeout_s=5.0)), scheduler.submit(job(3))]
    bench.instance.gate.set()
    assert (values(first), values(futures[1])) == ([2], [6])
    with pytest.raises(DeadlineExceeded):
        futures[0].result(10)
    assert bench.instance.batches == [[1], [3]]


@pytest.mark.parametrize("in_order", [False, True])
def test_a_response_that_cannot_be_made_costs_nobody_else_theirs(in_order: bool, bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=8, in_order=in_order))

    def broken(_: Reply) -> InferResponse:
        raise MemoryError

    for _ in range(3):  # more than there are threads
        held = bench.busy(scheduler)
        requests = [job(value) for value in (2, 3, 4)]
        requests[0].respond = requests[1].respond = broken
        futures = [scheduler.submit(request, inline=False) for request in requests]
        bench.instance.gate.set()
        assert values(held[0]) == [2]
        for future in futures[:2]:
            with pytest.raises(ModelFailed, match="MemoryError"):
                future.result(10)
        assert values(futures[2]) == [8]
    assert scheduler.drain(10)


@pytest.mark.parametrize("in_order", [False, True])
def test_drained_means_that_the_futures_have_ended(in_order: bool, bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=8, in_order=in_order))
    made, gate = threading.Event(), threading.Event()

    def slow(reply: Reply) -> InferResponse:
        made.set()
        assert gate.wait(30)
        return respond(reply)

    request = job(1)
    request.respond = slow
    future = scheduler.submit(request, inline=False)
    assert made.wait(10)
    assert scheduler.statistics().success.count == 1
    assert not scheduler.drain(0.0)
    gate.set()
    assert scheduler.drain(10)
    assert future.done()


def test_drained_once_the_last_is_refused_or_given_up(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    bench.busy(scheduler)
    futures = [scheduler.submit(job(2, timeout_s=0.01), inline=False), scheduler.submit(job(3), inline=False)]
    assert futures[1].cancel()
    with pytest.raises(DeadlineExceeded):
        futures[0].result(10)
    bench.instance.gate.set()
    assert scheduler.drain(10)
    bench.busy(scheduler)
    scheduler.close()
    assert scheduler.drain(0.0)


# ---- replies that are there already ----------------------------------------------------------------------------------

KEPT = Reply({"y": np.array([[7]], np.float32)}, {"from": "before"})


def kept(timeout_s: float | None = None) -> Job:
    made = job(1, timeout_s=timeout_s)
    made.arrived_s = time.monotonic()
    return made


def test_a_reply_that_is_there_needs_no_instance(bench: Bench) -> None:
    scheduler = bench.scheduler(BatchPolicy(max_rows=1))
    response = scheduler.answer(kept(), KEPT).result(0)
    assert (response.outputs["y"], response.parameters) == (7, {"from": "before"})
    row = scheduler.statistics()
    assert (row.success.count, row.cache_hit.count, row.execution_count, row.inference_count) == (1, 1, 0, 0)
    assert scheduler.drain(0)
    scheduler.stop()
    with pytest.raises(Unavailable):
        scheduler.answer(kept(), KEPT)


def test_a_reply_that_is_there_keeps_the_order(bench: Bench) -> None:
    scheduler, futures, ended = ordered(bench)
    last = kept()
    last.future.add_done_callback(lambda _: ended.append(7))
    future = scheduler.answer(last, KEPT)
    assert ended == []
    bench.instance.gate.set()
    assert values(future) == [7]
    assert scheduler.drain(10)
    assert ended == [1, 2, -3, 4, 7]
    assert futures[3].done()


def test_a_reply_that_is_there_and_waits_its_turn_has_a_deadline(bench: Bench) -> None:
    scheduler, _, _ = ordered(bench)
    with pytest.raises(DeadlineExceeded):
        scheduler.answer(kept(timeout_s=0.05), KEPT).result(10)
    bench.instance.gate.set()
    assert scheduler.drain(10)


# ---- bytes -----------------------------------------------------------------------------------------------------------


def test_every_end_of_a_request_gives_its_bytes_back(bench: Bench) -> None:
    budget = Budget(1000)
    scheduler = Scheduler(Plan(SPEC, Rows(), {}, {}), BatchPolicy(max_rows=1), [bench.instance], budget=budget)
    bench.made.append(scheduler)
    scheduler.submit(job(1))
    assert budget.held_bytes == 0  # it never waited
    (running,) = bench.busy(scheduler)
    late = scheduler.submit(job(2, timeout_s=0.02), inline=False)
    given_up, left = (scheduler.submit(job(3), inline=False) for _ in range(2))
    assert budget.held_bytes == 16
    with pytest.raises(DeadlineExceeded):
        late.result(10)
    assert given_up.cancel()
    assert budget.held_bytes == 8
    with pytest.raises(Unavailable, match="model 'm': the requests that wait hold 8 of 1000 bytes, 2000 more"):
        scheduler.submit(job(*range(500)), inline=False)
    assert scheduler.pending == 1
    scheduler.close()
    for future in (running, left):
        with pytest.raises(Unavailable, match="unloaded"):
            future.result(10)
    assert budget.held_bytes == 0
