from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from concurrent.futures import Future
from itertools import count

import awkward as ak
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonic.errors import DataError, ModuleError, OutputError, Unavailable
from sonic.framework import Analyzer, Filter, Offload, OffloadFilter, Producer
from sonic.framework.ledger import Ledger
from sonic.framework.policy import OnError
from sonic.framework.report import Failure, Phase

TIMEOUT_S = 20.0


class Double(Offload):
    """Asks the model for twice x."""

    model = "double"

    def __init__(self, name="Double", consumes=("x",), produces=("y",), mode=None):
        self.name, self.consumes, self.produces, self.mode = name, consumes, produces, mode

    def acquire(self, events):
        return {"x": ak.to_numpy(events[self.consumes[0]])}

    def produce(self, events, outputs):
        assert len(events) == len(outputs["y"])
        return {self.produces[0]: outputs["y"]}


class Log(Producer):
    """Copies a column, and notes which chunk it saw."""

    def __init__(self, name, consumes, produces, log=None):
        self.name, self.consumes, self.produces = name, (consumes,), (produces,)
        self.log = [] if log is None else log

    def produce(self, events):
        column = events[self.consumes[0]]
        self.log.append((self.name, int(column[0]) // 2))
        return {self.produces[0]: column}


class Broken(Producer):
    consumes = ("x",)

    def __init__(self, at):
        self.at = at

    def produce(self, events):
        if events.x[0] == self.at:
            raise ValueError("a dead channel\nand much more text")
        return {}


def collect(column, into):
    """A sink that notes the first value of a column."""
    return lambda chunk: into.append(ak.to_list(chunk.view((column,), chunk.selection.level)[column]))


def numbers(count):
    return [[4.0 * i, 4.0 * i + 2] for i in range(count)]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (1, 4), (2, 3), (4, 8)])
@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_chunks_come_out_in_order(scheduler_of, manual_model, number_chunks, threads, streams, mode):
    out = []
    scheduler = scheduler_of(Double(), model=manual_model(at_once=True), mode=mode, threads=threads, streams=streams)
    scheduler.run(iter(number_chunks(20)), collect("y", out))
    assert out == numbers(20)


def test_async_requests_of_all_streams_are_out_at_once_on_one_thread(scheduler_of, manual_model, number_chunks, start):
    model, out = manual_model(), []
    run = start(scheduler_of(Double(), model=model, streams=5, threads=1), number_chunks(7), collect("y", out))
    model.wait_for(5)
    assert model.outstanding == 5
    assert out == []
    for i in reversed(range(5)):
        model.answer(i)
    model.wait_for(7)
    model.answer(5)
    model.answer(6)
    run.finish()
    assert out == numbers(7)


def test_sync_requests_hold_their_thread(scheduler_of, manual_model, number_chunks, start):
    model, out = manual_model(), []
    run = start(
        scheduler_of(Double(), model=model, streams=5, threads=1, mode="sync"), number_chunks(4), collect("y", out)
    )
    for i in range(4):
        model.wait_for(i + 1)
        assert len(model.calls) == i + 1
        model.answer(i)
    run.finish()
    assert out == numbers(4)


def test_sync_requests_are_out_once_a_thread(scheduler_of, manual_model, number_chunks, start):
    model, out = manual_model(), []
    run = start(
        scheduler_of(Double(), model=model, streams=5, threads=2, mode="sync"), number_chunks(4), collect("y", out)
    )
    model.wait_for(2)
    assert model.outstanding == 2
    for i in range(4):
        model.wait_for(i + 1)
        model.answer(i)
        assert model.outstanding <= 2
    run.finish()
    assert out == numbers(4)


def test_pseudo_async_has_one_thread_a_module_and_frees_the_worker(scheduler_of, number_chunks, manual_model, start):
    model, callers = manual_model(), []
    submit = model.submit
    model.submit = lambda **arrays: callers.append(threading.current_thread().name) or submit(**arrays)
    first, second = Double("one", produces=("y",)), Double("two", produces=("z",))
    out = []
    run = start(
        scheduler_of(first, second, model=model, streams=3, threads=1, mode="pseudo_async"),
        number_chunks(3),
        collect("y", out),
    )
    for wave in range(3):
        # One request of each module: the next waits for the module's thread, though streams and worker are free.
        model.wait_for(2 * wave + 2)
        assert model.outstanding == 2
        model.answer(2 * wave)
        model.answer(2 * wave + 1)
    run.finish()
    assert out == numbers(3)
    assert set(callers) == {"sonic-one", "sonic-two"}


def test_a_modules_own_mode_comes_first(scheduler_of, manual_model, number_chunks, start):
    model, out = manual_model(), []
    run = start(
        scheduler_of(Double(mode="sync"), model=model, streams=5, threads=1, mode="async"),
        number_chunks(2),
        collect("y", out),
    )
    model.wait_for(1)
    model.answer(0)
    model.wait_for(2)
    model.answer(1)
    run.finish()
    assert out == numbers(2)


def test_two_offloads_of_a_chunk_are_out_at_once(scheduler_of, manual_model, number_chunks, start):
    model, out = manual_model(), []
    modules = Double("one", produces=("y",)), Double("two", produces=("z",)), Double("three", ("z",), ("zz",))
    run = start(scheduler_of(*modules, model=model, streams=1, threads=1), number_chunks(1), collect("zz", out))
    model.wait_for(2)
    assert model.outstanding == 2
    model.answer(1)
    model.wait_for(3)
    model.answer(2)
    model.answer(0)
    run.finish()
    assert out == [[0.0, 4.0]]


@pytest.mark.parametrize("mode", ["async", "pseudo_async"])
def test_how_long_requests_of_a_chunk_were_out_together(scheduler_of, manual_model, number_chunks, start, mode):
    now_ns, sent, model = [0], threading.Event(), manual_model()

    class Fence(Producer):  # run by the one thread when both requests are on their way
        def produce(self, events):
            sent.set()
            return {}

    modules = Double("one", produces=("y",)), Double("two", produces=("z",)), Fence()
    ledger = Ledger([module.name for module in modules], 1)
    scheduler = scheduler_of(*modules, model=model, streams=1, mode=mode, ledger=ledger, clock=lambda: now_ns[0])
    run = start(scheduler, number_chunks(1), lambda chunk: None)
    model.wait_for(2)
    assert sent.wait(TIMEOUT_S)
    now_ns[0] = 5
    model.answer(0)
    now_ns[0] = 7
    model.answer(1)
    run.finish()
    assert ledger.together_ns == 5
    waits = [(record.start_ns, record.stop_ns) for record in ledger.records if record.phase is Phase.WAIT]
    assert waits[:2] == [(0, 5), (0, 7)]


def test_modules_of_one_chunk_run_at_once(scheduler_of, number_chunks):
    together = threading.Barrier(2)

    class Meet(Producer):
        def __init__(self, name):
            self.name = name

        def produce(self, events):
            together.wait(TIMEOUT_S)
            return {}

    scheduler_of(Meet("a"), Meet("b"), threads=2, streams=1).run(number_chunks(3), lambda chunk: None)


def test_a_chunk_that_is_nearer_to_its_end_goes_first(scheduler_of, number_chunks):
    log = []
    modules = Log("a", "x", "p", log), Log("b", "p", "q", log), Log("c", "q", "r", log)
    scheduler_of(*modules, threads=1, streams=4).run(number_chunks(3), lambda chunk: None)
    assert log == [(name, chunk) for chunk in range(3) for name in "abc"]


def test_chunks_in_flight_and_finished_ones_are_bounded(scheduler_of, manual_model, number_chunks, start):
    streams, window = 3, 4
    model, out = manual_model(), []
    begun, most = 0, 0
    submit = model.submit

    def answer_all_but_the_first(**arrays):
        future = submit(**arrays)
        if arrays["x"][0]:
            model.answer(future)
        return future

    def counted(chunks):
        nonlocal begun, most
        for chunk in chunks:
            begun += 1
            most = max(most, begun - len(out))
            yield chunk

    model.submit = answer_all_but_the_first
    run = start(
        scheduler_of(Double(), model=model, streams=streams, window=window, threads=1),
        counted(number_chunks(30)),
        collect("y", out),
    )
    model.wait_for(streams + window)
    assert out == []
    model.answer(0)
    run.finish()
    assert out == numbers(30)
    assert most == streams + window


def test_unordered_chunks_are_written_as_they_are_done(scheduler_of, manual_model, number_chunks, start):
    model, written = manual_model(), []
    came = threading.Semaphore(0)

    def write(chunk):
        written.append(chunk.where.index)
        came.release()

    scheduler = scheduler_of(Double(), model=model, streams=4, ordered=False)
    running = start(scheduler, number_chunks(6), write)
    model.wait_for(4)
    for which in (2, 3, 1):
        model.answer(which)
        assert came.acquire(timeout=TIMEOUT_S)
    model.wait_for(6)
    for which in (5, 4, 0):
        model.answer(which)
        assert came.acquire(timeout=TIMEOUT_S)
    running.finish()
    assert written[:3] == [2, 3, 1]
    assert sorted(written) == [0, 1, 2, 3, 4, 5]
    assert written[-1] == 0


@pytest.mark.parametrize("early", [False, True])
def test_a_source_that_has_nothing_yet_holds_no_thread(scheduler_of, manual_model, number_chunks, start, early):
    model, there, seen = manual_model(), number_chunks(3), []
    asked, written = threading.Semaphore(0), threading.Semaphore(0)
    scheduler = scheduler_of(Double(), model=model, threads=1)

    def write(chunk):
        seen.append(chunk.where.index)
        written.release()

    def chunks():
        yield there[0]
        if early:  # told between the question and the answer
            scheduler.more()
        asked.release()
        yield None
        yield there[1]
        asked.release()
        yield None
        yield there[2]

    running = start(scheduler, chunks(), write)
    model.wait_for(1)
    assert asked.acquire(timeout=20)
    model.answer(0)  # the one thread is free for it
    if not early:
        scheduler.more()
    model.wait_for(2)
    assert asked.acquire(timeout=20)
    model.answer(1)
    for _ in range(2):
        assert written.acquire(timeout=20)
    scheduler.more()  # the one thread has nothing to do, and sleeps
    model.wait_for(3)
    model.answer(2)
    running.finish()
    assert seen == [0, 1, 2]


def test_a_slow_sink_holds_the_source_back(scheduler_of, number_chunks, start):
    ahead, release, begun = threading.Event(), threading.Event(), []

    def chunks():
        for chunk in number_chunks(30):
            begun.append(chunk)
            if len(begun) == 2 + 3:
                ahead.set()
            yield chunk

    def write(chunk):
        assert release.wait(TIMEOUT_S)

    run = start(scheduler_of(Log("a", "x", "p"), threads=2, streams=2, window=3), chunks(), write)
    assert ahead.wait(TIMEOUT_S)
    assert len(begun) == 5
    release.set()
    run.finish()
    assert len(begun) == 30


def test_a_filter_cuts_what_later_modules_see(scheduler_of, manual_model, number_chunks):
    class Even(Filter):
        consumes = ("x",)

        def select(self, events):
            return events.x % 4 == 0

    class Good(OffloadFilter):
        model = "double"
        consumes = ("x",)

        def acquire(self, events):
            return {"x": ak.to_numpy(events.x)}

        def select(self, events, outputs):
            return outputs["y"] >= 16

    class Count(Analyzer):
        consumes = ("x", "y")

        def analyze(self, events):
            return events.x.to_list()

    seen = []
    ledger = Ledger(["Even", "Double", "Good", "Count"], 2)
    scheduler = scheduler_of(
        Even(), Double(), Good(), Count(), model=manual_model(at_once=True), threads=2, streams=3, ledger=ledger
    )
    scheduler.run(number_chunks(8), lambda chunk: seen.extend(chunk.results["Count"]))
    assert seen == [8.0, 12.0]
    assert [(a.events, a.passed) for a in ledger.accounts[:4]] == [(16, 4), (4, 0), (4, 2), (2, 0)]


def test_nothing_to_ask_is_no_call(scheduler_of, manual_model, number_chunks):
    class Picky(Double):
        def acquire(self, events):
            return super().acquire(events) if events.x[0] > 2 else {}

        def produce(self, events, outputs):
            return {"y": outputs.get("y", np.zeros(len(events)))}

    model, out = manual_model(at_once=True), []
    scheduler_of(Picky(), model=model).run(number_chunks(3), collect("y", out))
    assert out == [[0.0, 0.0], [0.0, 0.0], [8.0, 10.0]]
    assert len(model.calls) == 1


def test_no_chunks_no_modules_no_events(scheduler_of, manual_model, number_chunks, chunk_of):
    out = []
    scheduler_of(Log("a", "x", "p")).run([], out.append)
    assert out == []
    scheduler_of(threads=2).run(number_chunks(5), out.append)
    assert [chunk.where.index for chunk in out] == [0, 1, 2, 3, 4]
    ledger = Ledger(["Double"], 1)
    scheduler_of(Double(), model=manual_model(), ledger=ledger).run([chunk_of(x=np.zeros(0))], out.append)
    assert ledger.accounts[0].requests == 0
    assert ledger.accounts[0].calls == 1


def test_a_failing_module_is_named_with_its_events(scheduler_of, number_chunks):
    written = []
    with pytest.raises(ModuleError) as caught:
        scheduler_of(Broken(at=6), threads=2).run(number_chunks(20), written.append)
    assert str(caught.value) == ("module Broken failed on chunk 3, events.root entries 6:8: ValueError: a dead channel")
    assert isinstance(caught.value.__cause__, ValueError)
    assert [chunk.where.index for chunk in written] == [0, 1, 2][: len(written)]


def test_a_module_that_exits_does_not_pass_for_a_run_that_ended(scheduler_of, number_chunks):
    class Exits(Producer):
        def produce(self, events):
            raise SystemExit(0)

    with pytest.raises(ModuleError, match=r"module Exits failed on chunk 0, .*: SystemExit: 0"):
        scheduler_of(Exits()).run(number_chunks(2), lambda chunk: None)


@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_everything_else_is_given_up_when_a_module_fails(scheduler_of, manual_model, number_chunks, start, mode):
    model, out = manual_model(), []
    scheduler = scheduler_of(Double(), model=model, mode=mode, streams=3, threads=3)
    run = start(scheduler, number_chunks(10), out.append)
    expected = 1 if mode == "pseudo_async" else 3
    model.wait_for(expected)
    model.calls[0][1].set_exception(Unavailable("grpc://host:1: the server is gone"))
    with pytest.raises(ModuleError) as caught:
        run.finish()
    assert "module Double failed on chunk" in str(caught.value)
    assert str(caught.value).endswith("grpc://host:1: the server is gone")
    # The module's own thread may have sent the next one before the error came to light.
    assert len(model.calls) <= expected + (mode == "pseudo_async")
    assert all(future.done() for _, future in model.calls)
    assert all(future.cancelled() for _, future in model.calls[1:])
    assert out == []


@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_a_request_that_cannot_be_sent(scheduler_of, manual_model, number_chunks, mode):
    model = manual_model()

    def refuse(**arrays):
        raise Unavailable("closed")

    model.submit = refuse
    with pytest.raises(ModuleError, match=r"module Double failed on chunk 0, .* closed"):
        scheduler_of(Double(), model=model, mode=mode).run(number_chunks(3), lambda chunk: None)


def test_an_answer_after_the_end_changes_nothing(scheduler_of, manual_model, number_chunks, start):
    model = manual_model()
    stubborn: Future = Future()
    stubborn.set_running_or_notify_cancel()  # cannot be cancelled any more

    def submit(**arrays):
        future = stubborn if arrays["x"][0] == 0 else Future()
        model.calls.append((arrays, future))
        if future is not stubborn:
            future.set_exception(ValueError("broken"))
        return future

    model.submit = submit
    with pytest.raises(ModuleError, match="broken"):
        scheduler_of(Double(), model=model, streams=2).run(number_chunks(2), lambda chunk: None)
    stubborn.set_result({"y": np.zeros(2)})


def test_outputs_that_are_no_numbers(scheduler_of, manual_model, number_chunks):
    model = manual_model()

    def submit(**arrays):
        future: Future = Future()
        future.set_result({"y": np.array([1.0, np.nan])})
        return future

    model.submit = submit
    with pytest.raises(ModuleError, match=r"module Double failed on chunk 0.* 1 of 2 values of output 'y' as NaN"):
        scheduler_of(Double(), model=model).run(number_chunks(1), lambda chunk: None)


def test_errors_of_source_and_sink_pass_as_they_are(scheduler_of, number_chunks):
    def source():
        yield from number_chunks(2)
        raise DataError("cut short")

    def sink(chunk):
        raise OutputError("disk full")

    with pytest.raises(DataError, match="cut short"):
        scheduler_of(Log("a", "x", "p"), threads=2).run(source(), lambda chunk: None)
    with pytest.raises(OutputError, match="disk full"):
        scheduler_of(Log("a", "x", "p"), threads=2).run(number_chunks(9), sink)


@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_ctrl_c_ends_the_run_and_cancels_requests(scheduler_of, manual_model, number_chunks, mode):
    model = manual_model()
    submit = model.submit
    running = threading.Event()

    class Over(threading.Event):
        """Tells when the main thread waits, all others having been started."""

        def wait(self, timeout=None):
            running.set()
            return super().wait(timeout)

    def interrupt(**arrays):
        future = submit(**arrays)
        if len(model.calls) == (1 if mode == "pseudo_async" else 2):
            assert running.wait(10)
            os.kill(os.getpid(), signal.SIGINT)
        return future

    model.submit = interrupt
    scheduler = scheduler_of(Double(), model=model, mode=mode, threads=2)
    scheduler._workers.over = Over()
    with pytest.raises(KeyboardInterrupt):
        scheduler.run(number_chunks(9), lambda chunk: None)
    assert all(future.cancelled() for _, future in model.calls)


def test_what_was_done_is_booked(scheduler_of, manual_model, number_chunks, start):
    now = 0
    lock = threading.Lock()

    def clock():
        nonlocal now
        with lock:
            now += 1
            return now

    model = manual_model()
    ledger = Ledger(["Double", "a"], 1)
    run = start(
        scheduler_of(Double(), Log("a", "y", "z"), model=model, ledger=ledger, clock=clock, cpu_clock=clock),
        number_chunks(2),
        lambda chunk: None,
    )
    for i in range(2):
        model.wait_for(i + 1)
        model.answer(i)
    run.finish()
    double, log, source, sink = ledger.accounts
    assert (double.calls, double.requests, double.rows, double.bytes_sent, double.bytes_received) == (2, 2, 4, 32, 32)
    assert [account.calls for account in (log, source, sink)] == [2, 2, 2]
    assert [account.events for account in (log, source, sink)] == [4, 4, 4]
    assert 0 <= double.hidden_ns <= double.external_ns
    phases = [(r.phase, r.chunk) for r in ledger.records if r.module == "Double"]
    assert sorted(phases) == sorted((p, i) for p in (Phase.ACQUIRE, Phase.WAIT, Phase.PRODUCE) for i in range(2))
    assert all(record.start_ns <= record.stop_ns for record in ledger.records)
    assert {record.stream for record in ledger.records if record.module != "(sink)"} <= set(range(4))
    assert {record.worker for record in ledger.records} == {0, -1}


def test_chunks_are_called_by_their_numbers_in_the_job_wherever_a_run_begins(scheduler_of, manual_model, number_chunks):
    ledger = Ledger(["Double"], 1)
    scheduler = scheduler_of(Double(), model=manual_model(at_once=True), ledger=ledger)
    scheduler.run(number_chunks(5)[3:], lambda chunk: None)
    assert {record.module for record in ledger.records} == {"Double", "(source)", "(sink)"}
    assert {record.chunk for record in ledger.records} == {3, 4}


def test_what_failed_has_taken_its_time_too(scheduler_of, manual_model, number_chunks):
    class Late(Double):
        """Fails in either half, once each."""

        def __init__(self):
            super().__init__("Late")
            self.fails = ["acquire", "produce"]

        def acquire(self, events):
            self._fail("acquire")
            return super().acquire(events)

        def produce(self, events, outputs):
            self._fail("produce")
            return super().produce(events, outputs)

        def _fail(self, half):
            if half in self.fails:
                self.fails.remove(half)
                raise ValueError(half)

    ledger = Ledger(["Late", "Sometimes"], 1)
    modules = (Late(), Sometimes(0.0, times=1))
    scheduler = scheduler_of(
        *modules, model=manual_model(at_once=True), on_error=OnError(2), ledger=ledger, cpu_clock=count().__next__
    )
    scheduler.run(number_chunks(1), lambda chunk: None)
    late = [record.phase.value for record in ledger.records if record.module == "Late"]
    assert sorted(late) == ["acquire"] * 3 + ["produce"] * 2
    assert [account.cpu_ns for account in ledger.accounts[:2]] == [5, 2]
    assert [(account.calls, account.retries) for account in ledger.accounts[:2]] == [(1, 2), (1, 1)]


def test_a_model_in_the_calling_thread_costs_no_external_time(scheduler_of, manual_model, number_chunks):
    ledger = Ledger(["Double"], 1)
    scheduler_of(Double(), model=manual_model(at_once=True), mode="sync", ledger=ledger).run(
        number_chunks(3), lambda chunk: None
    )
    assert ledger.accounts[0].external_ns == 0
    assert ledger.accounts[0].requests == 3


@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_arrays_go_when_their_chunk_does_without_the_garbage_collector(
    scheduler_of, manual_model, number_chunks, start, mode
):
    model = manual_model()
    alive, most = [], 0

    def chunks():
        left = number_chunks(50)[::-1]
        while left:
            yield left.pop()

    gc.disable()
    try:
        run = start(scheduler_of(Double(), model=model, mode=mode, streams=2, threads=1), chunks(), lambda chunk: None)
        for i in range(50):
            model.wait_for(i + 1)
            arrays, future = model.calls[i]
            outputs = {"y": 2 * arrays["x"]}
            alive += map(weakref.ref, (*arrays.values(), *outputs.values(), future))
            model.calls[i] = ({}, None)
            future.set_result(outputs)
            del arrays, future, outputs
            most = max(most, sum(reference() is not None for reference in alive))
        run.finish()
        assert most <= 3 * 5
        assert sum(reference() is not None for reference in alive) == 0
    finally:
        gc.enable()


# The fixtures are makers that keep nothing between examples.
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_graph_gives_what_it_gives_one_module_at_a_time(data, scheduler_of, manual_model, number_chunks):
    class Add(Producer):
        def __init__(self, number, consumes):
            self.name, self.consumes, self.produces = f"m{number}", consumes, (f"p{number}",)
            self.number = number

        def produce(self, events):
            return {self.produces[0]: sum((events[name] for name in self.consumes), 0 * events.x) + self.number}

    class Ask(Double):
        def acquire(self, events):
            return {"x": ak.to_numpy(sum((events[name] for name in self.consumes), 0 * events.x))}

    modules, values = [], {"x": np.arange(12.0)}
    for number in range(data.draw(st.integers(1, 6))):
        known = sorted(values)
        consumes = ("x", *data.draw(st.lists(st.sampled_from(known), unique=True).map(lambda c: set(c) - {"x"})))
        total = sum(values[name] for name in consumes)
        if data.draw(st.booleans()):
            modules.append(Ask(f"m{number}", consumes, (f"p{number}",)))
            values[f"p{number}"] = 2 * total
        else:
            modules.append(Add(number, consumes))
            values[f"p{number}"] = total + number
    model = manual_model(at_once=True)
    threads, streams = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    mode = data.draw(st.sampled_from(["sync", "async", "pseudo_async"]))
    out = []
    shuffled = data.draw(st.permutations(modules))
    scheduler_of(*shuffled, model=model, threads=threads, streams=streams, mode=mode).run(
        number_chunks(6), lambda chunk: out.append(chunk.view(sorted(values)))
    )
    found = ak.concatenate(out)
    for name, expected in values.items():
        assert found[name].to_list() == expected.tolist()


# What becomes of a chunk that a module failed on


class Sometimes(Producer):
    """Fails on one chunk, so many times."""

    consumes = ("x",)

    def __init__(self, at, times=1000, name="Sometimes"):
        self.at, self.times, self.name = at, times, name

    def produce(self, events):
        if events.x[0] == self.at and self.times:
            self.times -= 1
            raise ValueError("a dead channel")
        return {}


def sieve(written, failures):
    def write(chunk):
        if chunk.failure is None:
            written.append(chunk.where.index)
        else:
            failures.append(chunk.failure)

    return write


@pytest.mark.parametrize("threads", [1, 3])
def test_a_chunk_that_a_module_fails_on_is_left_out(scheduler_of, number_chunks, threads):
    written, failures = [], []
    modules = (Log("before", "x", "a"), Sometimes(4.0), Log("after", "x", "b"))
    ledger = Ledger([module.name for module in modules], threads)
    scheduler = scheduler_of(*modules, threads=threads, on_error=OnError(skip=True), ledger=ledger)
    scheduler.run(number_chunks(4), sieve(written, failures))
    assert written == [0, 1, 3]
    assert failures == [Failure("Sometimes", "ValueError: a dead channel", 2, "events.root", 4, 6)]
    assert ledger.accounts[1].calls == 3


def test_a_module_is_tried_again(scheduler_of, number_chunks):
    written, failures = [], []
    module = Sometimes(4.0, times=2)
    ledger = Ledger(["Sometimes"], 1)
    scheduler_of(module, on_error=OnError(2), ledger=ledger).run(number_chunks(4), sieve(written, failures))
    assert (written, failures) == ([0, 1, 2, 3], [])
    assert (ledger.accounts[0].retries, ledger.accounts[0].calls) == (2, 4)


def test_a_module_that_still_fails_stops_the_run_or_skips(scheduler_of, number_chunks):
    with pytest.raises(ModuleError, match=r"module Sometimes failed on chunk 2, events.root entries 4:6: ValueError"):
        scheduler_of(Sometimes(4.0, times=3), on_error=OnError(2)).run(number_chunks(4), lambda chunk: None)
    written, failures = [], []
    scheduler = scheduler_of(Sometimes(4.0, times=3), on_error=OnError(2, skip=True))
    scheduler.run(number_chunks(4), sieve(written, failures))
    assert (written, len(failures)) == ([0, 1, 3], 1)


@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_a_request_that_fails_is_made_again(scheduler_of, manual_model, number_chunks, start, mode):
    model, written, failures = manual_model(), [], []
    running = start(
        scheduler_of(Double(), model=model, mode=mode, on_error=OnError(1, skip=True)),
        number_chunks(1),
        sieve(written, failures),
    )
    model.wait_for(1)
    model.calls[0][1].set_exception(Unavailable("gone"))
    model.wait_for(2)
    model.answer(1)
    running.finish()
    assert (written, failures) == ([0], [])


def test_a_chunk_that_failed_waits_for_its_requests(scheduler_of, manual_model, number_chunks, start):
    model, written, failures = manual_model(), [], []
    scheduler = scheduler_of(
        Double(), Sometimes(0.0), Log("after", "y", "z"), model=model, on_error=OnError(skip=True), streams=1
    )
    running = start(scheduler, number_chunks(2), sieve(written, failures))
    model.wait_for(1)
    assert (written, failures) == ([], [])
    model.answer(0)
    model.wait_for(2)
    model.answer(1)
    running.finish()
    assert written == [1]
    assert [failure.chunk for failure in failures] == [0]


def test_the_source_and_the_sink_are_not_skipped(scheduler_of, number_chunks):
    def full(chunk):
        raise OutputError("disk full")

    with pytest.raises(OutputError, match="disk full"):
        scheduler_of(Log("a", "x", "b"), on_error=OnError(3, skip=True)).run(number_chunks(2), full)
