from __future__ import annotations

from sonic.protocol.messages import Duration
from sonic.server.counters import Counters


def test_counts_have_tritons_meaning() -> None:
    counters = Counters("m", "3")
    counters.executed()
    for rows in (4, 2):  # one execution of two requests
        counters.succeeded(rows=rows, total_ns=100, queue_ns=10, input_ns=1, infer_ns=50, output_ns=2, now_ms=7)
    counters.failed(total_ns=30, now_ms=9)
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


def test_a_snapshot_stays_as_it_is() -> None:
    counters = Counters("m", "1")
    before = counters.snapshot()
    counters.executed()
    assert before.execution_count == 0
