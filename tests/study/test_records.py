"""A record is read as it was written."""

from __future__ import annotations

import msgspec
import pytest

from sonic.study.records import (
    Estimate,
    Latencies,
    Machine,
    Record,
    Round,
    ServerWindow,
    Window,
    digits,
    server_cpu,
    written,
)

POINT = Record(
    target="facile",
    settings={"clients": 4, "protocol": "grpc", "delay_us": 0.5, "compression": False},
    status="measured",
    started="2026-01-01T00:00:00Z",
    machine=Machine(system="Linux", processor="some", cores=2, gpus=("one",)),
    versions={"sonic": "0"},
    throughput=Estimate(100.0, 99.0, 101.0),
    row_rate=Estimate(100.0),
    latencies=Latencies(count=2, mean_s=0.1, least_s=0.05, most_s=0.15, edges_s=(0.01, 0.1, 1.0), counts=(1, 1)),
    windows=(
        Window(
            duration_s=1.0,
            requests=100,
            errors=0,
            rows=100,
            server=ServerWindow(
                requests=100, failures=0, executions=25, rows=100, queue_s=0.01, input_s=0.0, infer_s=0.02, output_s=0.0
            ),
        ),
    ),
)


def test_it_is_read_as_it_was_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(POINT), type=Record) == POINT


def test_what_is_no_record_is_refused() -> None:
    for text in (b"{}", b'{"sonic_study": "plan"}', b"[]"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=Record)


@pytest.mark.parametrize(
    ("setting", "text"),
    [(True, "true"), (10.0, "10"), (0.25, "0.25"), (1234567.5, "1234567.5"), (3, "3"), ("grpc", "grpc"), (None, "")],
)
def test_a_setting_is_written_as_in_a_specification(setting: bool | float | str | None, text: str) -> None:
    assert written(setting) == text


def test_the_batch_is_rows_by_execution_and_none_without_executions() -> None:
    server = POINT.windows[0].server
    assert server is not None
    assert server.batch_rows == 4
    assert msgspec.structs.replace(server, executions=0).batch_rows == 0


def test_processor_time_is_of_the_requests_and_the_time_in_which_it_was_taken() -> None:
    (window,) = POINT.windows
    assert window.server is not None
    longer = msgspec.structs.replace(window.server, requests=300, cpu_s=0.6, duration_s=3.0)
    untold = msgspec.structs.replace(window, server=None, process_cpu_s=0.2)
    for windows, expected in (
        ((msgspec.structs.replace(window, server=longer),), (0.002, 0.2)),
        ((msgspec.structs.replace(window, server=longer), untold, window), (0.8 / 400, 0.8 / 4)),
    ):
        assert server_cpu(msgspec.structs.replace(POINT, windows=windows)) == pytest.approx(expected)
    assert server_cpu(POINT) is None


def test_means_are_over_rounds_or_over_the_windows_of_the_only_one() -> None:
    once = Round(started="", status="measured", throughput=Estimate(1.0))
    unstable = msgspec.structs.replace(once, status="unstable")
    for rounds, repeats in (((), 3), ((once,), 3), ((once, unstable), 3), ((once, once), 2)):
        assert msgspec.structs.replace(POINT, windows=POINT.windows * 3, rounds=rounds).repeats == repeats


@pytest.mark.parametrize(("set_to", "told", "served"), [(2, 3.0, 3), (500, 0.0, 0), (2, None, 2), (None, None, 0)])
def test_how_a_model_is_served_the_server_knows_best(set_to: int | None, told: float | None, served: int) -> None:
    record = msgspec.structs.replace(
        POINT,
        settings={} if set_to is None else {"batch": set_to},
        details={} if told is None else {"batch": told},
    )
    assert record.served("batch") == served


@pytest.mark.parametrize(
    ("number", "most", "text"),
    [
        (0.01254, 3, "0.0125"),
        (99.96, 3, "100"),
        (1038.4, 3, "1,038"),
        (16000, 3, "16,000"),
        (12842.4, 4, "12,842"),
        (9885.2, 5, "9,885.2"),
        (-2500, 3, "-2,500"),
        (0, 3, "0"),
        (float("inf"), 3, "inf"),
    ],
)
def test_numbers_are_written_without_powers_of_ten(number: float, most: int, text: str) -> None:
    assert digits(number, most) == text
