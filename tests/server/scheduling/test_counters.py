from __future__ import annotations

from sonic.errors import Cancelled, DeadlineExceeded, InvalidRequest, ModelFailed, Unavailable
from sonic.protocol.messages import BatchStatistics, Duration
from sonic.server.scheduling.counters import Counters, reason_of


def test_counts_have_tritons_meaning() -> None:
    counters = Counters("m", "3")
    counters.executed(rows=6, input_ns=1, infer_ns=50, output_ns=2)
    for rows in (4, 2):  # one execution of two requests
        counters.succeeded(rows=rows, total_ns=100, queue_ns=10, input_ns=1, infer_ns=50, output_ns=2, now_ms=7)
    counters.failed("BACKEND", total_ns=30, now_ms=9)
    row = counters.snapshot()
    assert (row.name, row.version, row.inference_count, row.execution_count, row.last_inference_ms) == (
        "m",
        "3",
        6,
        1,
        9,
    )
    assert (row.success, row.fail) == (Duration(2, 200), Duration(1, 30))
    assert (row.queue, row.compute_infer) == (Duration(2, 20), Duration(2, 100))
    assert (row.compute_input, row.compute_output) == (Duration(2, 2), Duration(2, 4))


def test_failures_are_counted_by_reason() -> None:
    counters = Counters("m", "1")
    for error in (Unavailable(), DeadlineExceeded(), Cancelled(), ModelFailed(), ModelFailed(), InvalidRequest()):
        counters.failed(reason_of(error), total_ns=1, now_ms=1)
    assert counters.failures() == {"REJECTED": 2, "CANCELED": 1, "BACKEND": 3, "OTHER": 0}
    assert counters.snapshot().fail == Duration(6, 6)


def test_executions_are_counted_by_size() -> None:
    counters = Counters("m", "1")
    for rows, infer_ns in ((8, 50), (1, 20), (8, 70)):
        counters.executed(rows=rows, input_ns=1, infer_ns=infer_ns, output_ns=2)
    assert counters.snapshot().batches == (
        BatchStatistics(1, Duration(1, 1), Duration(1, 20), Duration(1, 2)),
        BatchStatistics(8, Duration(2, 2), Duration(2, 120), Duration(2, 4)),
    )


def test_what_the_cache_answers_is_not_computed() -> None:
    counters = Counters("m", "1")
    counters.hit(total_ns=3, lookup_ns=2, now_ms=7)
    row = counters.snapshot()
    assert (row.success, row.queue, row.cache_hit) == (Duration(1, 3), Duration(1, 0), Duration(1, 2))
    assert (row.inference_count, row.compute_infer.count, row.last_inference_ms) == (0, 0, 7)


def test_a_snapshot_stays_as_it_is() -> None:
    counters = Counters("m", "1")
    before = counters.snapshot()
    counters.executed(rows=1, input_ns=0, infer_ns=0, output_ns=0)
    assert (before.execution_count, before.batches) == (0, ())
