from __future__ import annotations

import asyncio
from concurrent.futures import as_completed, wait
from math import inf

import numpy as np
import pytest

from sonic.errors import Cancelled, ModelFailed, Unavailable
from sonic.protocol.messages import Duration, InferResponse
from sonic.server.execution.instances import Reply
from sonic.server.execution.plan import Execution
from sonic.server.scheduling.counters import Counters
from sonic.server.scheduling.futures import Ended
from sonic.server.scheduling.job import NEVER_S, Job, Result
from sonic.server.scheduling.policies import QueuePolicy

Y = np.ones((2, 1), np.float32)


def job(timeout_s: float | None = None) -> Job:
    def respond(reply: Reply) -> InferResponse:
        return InferResponse("m", "1", reply.outputs, parameters=reply.parameters)

    return Job({"x": Y}, 2, ("y",), respond, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("timeout_s", "policy", "limit_s", "deadline_s"),
    [
        (None, QueuePolicy(), inf, inf),
        (2.0, QueuePolicy(), inf, 102.0),
        (NEVER_S, QueuePolicy(timeout_s=NEVER_S), inf, inf),
        (2.0, QueuePolicy(timeout_s=5.0), 5.0, 102.0),
        (2.0, QueuePolicy(timeout_s=5.0, allow_override=True), 2.0, 102.0),
        (2.0, QueuePolicy(timeout_s=5.0, allow_override=True, delays=True), 2.0, inf),
    ],
)
def test_until_when_it_may_wait(
    timeout_s: float | None, policy: QueuePolicy, limit_s: float, deadline_s: float
) -> None:
    made = job(timeout_s)
    made.arrive(100.0, policy)
    assert (made.arrived_s, made.limit_s, made.deadline_s) == (100.0, limit_s, deadline_s)


def test_it_gets_its_part_of_a_result_and_what_it_wants_of_that() -> None:
    first, second = job(), job()
    seen: list[Execution] = []
    second.observe = seen.append
    done = Execution([Reply({"y": Y, "z": Y}), Reply({"y": 2 * Y, "z": Y}, {"k": 1})], 1, 2, 3)
    result = Result([first, second], 0.0, done)
    second.future.set_running_or_notify_cancel()
    second.deliver(result)
    response = second.future.result(0)
    assert list(response.outputs) == ["y"]
    assert (response.outputs["y"][0, 0], response.parameters) == (2, {"k": 1})
    assert seen == [done]


def test_an_error_is_for_all() -> None:
    made = job()
    made.deliver(Result([made], 0.0, Unavailable("gone")))
    assert isinstance(made.future.exception(0), Unavailable)
    cancelled = job()
    cancelled.future.cancel()
    cancelled.fail(Cancelled("too late"))
    assert cancelled.future.cancelled()


def test_without_a_response_it_ends_in_an_error() -> None:
    def broken(_: object) -> InferResponse:
        raise MemoryError

    done = Execution([Reply({"y": Y})], 1, 2, 3)
    unobserved, unmade, asked = job(), job(), job()
    unobserved.observe = broken
    unmade.respond = asked.respond = broken
    asked.future.set_running_or_notify_cancel()
    for each in (unobserved, unmade, asked):
        each.deliver(Result([each], 0.0, done))
        error = each.future.exception(0)
        assert isinstance(error, ModelFailed)
        assert "MemoryError" in str(error)


def test_how_it_is_counted() -> None:
    counters = Counters("m", "1")
    done = Execution([Reply({"y": Y})], 1, 2, 3)
    for result in (Result([job()], 0.0, done), Result.of_reply(job(), Reply({"y": Y}), 0.0), None):
        made = job()
        made.count(result, counters, 1.0)
        assert made.ended
    made.count(Result([made], 0.0, Unavailable("gone")), counters, 1.0)
    row = counters.snapshot()
    assert (row.success.count, row.fail.count, row.cache_hit.count, row.inference_count) == (2, 2, 1, 2)


def test_what_was_there_is_counted_with_the_time_to_find_it_however_long_it_waits_for_its_turn() -> None:
    counters, made = Counters("m", "1"), job()
    made.count(Result.of_reply(made, Reply({"y": Y}), 0.25), counters, 4.0)
    row = counters.snapshot()
    assert (row.success, row.cache_hit) == (Duration(1, 4_000_000_000), Duration(1, 250_000_000))


def test_nobody_is_told_of_an_execution_that_was_none() -> None:
    made = job()
    made.observe = pytest.fail
    made.future.set_running_or_notify_cancel()
    made.deliver(Result.of_reply(made, Reply({"y": Y}), 0.0))
    assert made.future.result(0).outputs["y"] is Y


def test_what_ended_at_once_is_a_future_like_any_other() -> None:
    good, bad = Ended(InferResponse("m", "1", {})), Ended(None, ModelFailed("it failed"))
    assert good.result(0).model == "m"
    assert good.exception(0) is None
    with pytest.raises(ModelFailed, match="it failed"):
        bad.result(0)
    assert isinstance(bad.exception(0), ModelFailed)
    for future in (good, bad):
        assert future.done()
        assert not future.cancel()
        assert not future.running()
        assert not future.cancelled()
        told: list[object] = []
        future.add_done_callback(told.append)
        assert told == [future]
        assert "finished" in repr(future)
    assert wait([good, bad], 0).done == {good, bad}
    assert set(as_completed([good, bad], 0)) == {good, bad}

    async def both() -> object:
        return await asyncio.gather(asyncio.wrap_future(good), asyncio.wrap_future(bad), return_exceptions=True)

    first, second = asyncio.run(both())
    assert first is good.result()
    assert isinstance(second, ModelFailed)
