from __future__ import annotations

from sonic.client.totals import add_up
from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics


def row(count: int, last_ms: int, *sizes: int) -> ModelStatistics:
    batches = tuple(BatchStatistics(size, Duration(1, 10), Duration(1, size), Duration(1, 0)) for size in sizes)
    success = Duration(count, 100)
    return ModelStatistics("m", "1", count, 2, success, last_inference_ms=last_ms, batches=batches)


def test_one_is_its_own_total() -> None:
    only = row(3, 7, 1)
    assert add_up([only]) is only


def test_counts_add_up_and_the_last_inference_is_the_latest() -> None:
    total = add_up([row(3, 7, 1, 4), row(5, 6, 2, 4)])
    assert (total.name, total.version) == ("m", "1")
    assert (total.inference_count, total.execution_count, total.last_inference_ms) == (8, 4, 7)
    assert total.success == Duration(8, 200)
    assert [batch.batch_size for batch in total.batches] == [1, 2, 4]
    assert total.batches[2] == BatchStatistics(4, Duration(2, 20), Duration(2, 8), Duration(2, 0))
