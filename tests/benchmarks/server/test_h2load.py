from __future__ import annotations

import pytest

from benchmarks.server import h2load
from benchmarks.server.wire import Request

REPORT = """\
starting benchmark...

finished in 1.50s, 2856.00 req/s, 212.04KB/s
requests: {requests}
status codes: {status}
traffic: 217.13KB (222341) total, 58.02KB (59408) headers (space savings 90.00%), 55.80KB ({data}) data
                     min         max         mean         sd        +/- sd
time for request:      304us     10.69ms       350us       246us    98.77%
"""
GOOD = "2856 total, 2857 started, 2856 done, 2856 succeeded, 0 failed, 0 errored, 0 timeout"


def _report(requests: str = GOOD, status: str = "2856 2xx, 0 3xx, 0 4xx, 0 5xx", data: int = 57120) -> str:
    return REPORT.format(requests=requests, status=status, data=data)


def test_a_report_is_read() -> None:
    assert h2load.parse(_report()) == h2load.Load(done=2856, failed=0, data_bytes=57120, elapsed_s=1.5)


@pytest.mark.parametrize(
    ("written", "elapsed_s"), [("987.65ms", 0.98765), ("1.50s", 1.5), ("600us", 600e-6), ("1.50m", 90.0)]
)
def test_a_length_of_time_is_read_in_any_unit(written: str, elapsed_s: float) -> None:
    assert h2load.parse(_report().replace("1.50s", written)).elapsed_s == pytest.approx(elapsed_s)


@pytest.mark.parametrize(
    ("requests", "status", "failed"),
    [
        (GOOD, "2850 2xx, 1 3xx, 2 4xx, 3 5xx", 6),
        (GOOD.replace("2856 succeeded, 0 failed", "2850 succeeded, 6 failed"), "2850 2xx, 0 3xx, 6 4xx, 0 5xx", 6),
        (GOOD.replace("0 errored", "4 errored"), "2856 2xx, 0 3xx, 0 4xx, 0 5xx", 4),
        (GOOD.replace("0 timeout", "5 timeout"), "2856 2xx, 0 3xx, 0 4xx, 0 5xx", 5),
    ],
)
def test_what_went_wrong_is_counted_once(requests: str, status: str, failed: int) -> None:
    assert h2load.parse(_report(requests, status)).failed == failed


def test_anything_else_is_no_report() -> None:
    with pytest.raises(RuntimeError, match="connection refused"):
        h2load.parse("connection refused\n")


@pytest.fixture
def request_by(tmp_path, monkeypatch):
    monkeypatch.setattr(h2load, "find", lambda: "h2load")
    return lambda **given: Request(**{"url": "http://h:1/p", "body": tmp_path, "headers": {"te": "trailers"}, **given})


def test_the_command_line_of_a_call_of_grpc(request_by) -> None:
    command = h2load.command(request_by(http1=False), clients=16, seconds=0.25)
    assert command[-1] == "http://h:1/p"
    assert command[command.index("-c") + 1] == "16"
    assert command[command.index("-D") + 1] == "250ms"
    assert command[command.index("-H") + 1] == "te: trailers"
    assert command[command.index("-w") + 1] == command[command.index("-W") + 1] == "30"
    assert not {"--h1", "-B"} & set(command)


def test_the_command_line_of_a_request_of_http_on_a_socket(request_by) -> None:
    command = h2load.command(request_by(http1=True, socket="/run/s.sock"), clients=1, seconds=1)
    assert "--h1" in command
    assert command[command.index("-B") + 1] == "unix:/run/s.sock"


def test_without_h2load_the_message_says_how_to_get_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(h2load.MissingToolError, match="nghttp2-client"):
        h2load.find()
