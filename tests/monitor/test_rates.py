from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import DataError
from sonic.monitor.rates import Counters, ModelRates, Scrape, rates, read

TRITON = """
# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="a",version="1"} 10
nv_inference_request_success{model="b\\"c",version="2"} 1
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="a",reason="REJECTED",version="1"} 1
nv_inference_request_failure{model="a",reason="OTHER",version="1"} 2
# TYPE nv_inference_count counter
nv_inference_count{model="a",version="1"} 40
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{model="a",version="1"} 8
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="a",version="1"} 5000
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="a",version="1"} 1000
# TYPE nv_inference_compute_input_duration_us counter
nv_inference_compute_input_duration_us{model="a",version="1"} 100
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="a",version="1"} 2000
# TYPE nv_inference_compute_output_duration_us counter
nv_inference_compute_output_duration_us{model="a",version="1"} 300
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="a",version="1"} 7
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.25
nv_gpu_utilization{gpu_uuid="CPU-1"} 0
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
# TYPE nv_cpu_memory_total_bytes gauge
nv_cpu_memory_total_bytes 100
# TYPE nv_cpu_memory_used_bytes gauge
nv_cpu_memory_used_bytes 30
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
# TYPE process_open_fds gauge
process_open_fds 3
"""


def test_an_answer_is_read() -> None:
    scrape = read(TRITON)
    assert scrape.models == {
        ("a", "1"): Counters(10, 3, 40, 8, 5000, 1000, 2400, 7),
        ('b"c', "2"): Counters(success=1),
    }
    assert scrape.cpu_utilization == 0.5
    assert scrape.memory_bytes == (30, 100)
    assert scrape.gpu_utilization == {"GPU-1": 0.25}
    assert scrape.process_cpu_s == 12.5


def test_what_is_not_told_is_none() -> None:
    scrape = read("# TYPE nv_inference_count counter\n")
    assert (dict(scrape.models), scrape.cpu_utilization, scrape.memory_bytes) == ({}, None, None)
    scrape = read(TRITON.replace("utilization 0.5", "utilization NaN").replace('GPU-1"} 0.25', 'GPU-1"} +Inf'))
    assert (scrape.cpu_utilization, scrape.gpu_utilization) == (None, {})


@pytest.mark.parametrize(
    "text", ["", "<!doctype html>\n<html></html>", "process_open_fds 3\n", "nv_inference_count{ 3"]
)
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(DataError, match="the answer"):
        read(text)


@given(st.text(max_size=60) | st.lists(st.sampled_from(TRITON.splitlines()), max_size=6).map("\n".join))
def test_any_text_is_an_answer_or_an_error(text: str) -> None:
    try:
        scrape = read(text)
    except DataError:
        return
    assert isinstance(scrape, Scrape)


def scrape(**models: Counters) -> Scrape:
    return Scrape({(name, "1"): counters for name, counters in models.items()})


def test_rates_between_two() -> None:
    before = scrape(a=Counters(10, 3, 40, 8, 5000, 1000, 2400, 7))
    after = scrape(a=Counters(20, 4, 100, 11, 25_000, 6000, 12_400, 2))
    assert rates(before, after, 2.0) == (
        ModelRates(
            "a",
            "1",
            requests_per_s=5.0,
            rows_per_s=30.0,
            failures_per_s=0.5,
            batch=20.0,
            latency_ms=2.0,
            queue_ms=0.5,
            compute_ms=1.0,
            pending=2,
        ),
    )


def test_nothing_happened() -> None:
    (row,) = rates(scrape(a=Counters(success=5)), scrape(a=Counters(success=5)), 1.0)
    assert (row.requests_per_s, row.batch, row.latency_ms, row.queue_ms, row.compute_ms) == (0, None, None, None, None)


@pytest.mark.parametrize("before", [scrape(), scrape(a=Counters(success=100, rows=7))])
def test_a_model_that_is_new_or_was_loaded_again_counts_from_zero(before: Scrape) -> None:
    (row,) = rates(before, scrape(a=Counters(success=6, rows=12)), 2.0)
    assert (row.requests_per_s, row.rows_per_s) == (3.0, 6.0)


def test_rows_are_in_order_and_only_of_what_is_there() -> None:
    after = Scrape({("b", "2"): Counters(), ("b", "10"): Counters(), ("a", "1"): Counters()})
    assert [(row.name, row.version) for row in rates(scrape(gone=Counters(success=1)), after, 1.0)] == [
        ("a", "1"),
        ("b", "2"),
        ("b", "10"),
    ]


_COUNT = st.integers(0, 10**9)
_COUNTERS = st.builds(Counters, *[_COUNT] * 8)


@given(_COUNTERS, _COUNTERS, st.floats(0.01, 1e4))
def test_no_rate_is_negative(before: Counters, after: Counters, interval_s: float) -> None:
    (row,) = rates(scrape(a=before), scrape(a=after), interval_s)
    assert min(row.requests_per_s, row.rows_per_s, row.failures_per_s, row.pending) >= 0
    assert all(value is None or value >= 0 for value in (row.batch, row.latency_ms, row.queue_ms, row.compute_ms))
