from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import sonic
from sonic.cli import app
from sonic.cli.study._load_table import show
from sonic.cli.study.load import _targets
from sonic.errors import SonicError
from sonic.study.histogram import Histogram
from sonic.study.load.inputs import FileInputs
from sonic.study.records import Estimate, Machine, Record, ServerWindow, Window, failures
from sonic.study.storage import read

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*words: object):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, ["study", "load", *map(str, words)])


def test_a_load_is_measured_shown_and_kept(tmp_path: Path) -> None:
    @sonic.service(inputs={"x": "FP32[-1,4]"}, outputs={"y": "FP32[-1,4]"}, max_batch=8)
    def double(x):  # type: ignore[no-untyped-def]
        return 2 * x

    file = tmp_path / "points.jsonl"
    with sonic.serve(double) as server:
        words = ["--server", server.grpc_url, "--rows", 3, "--json", file, "--server-kind", "T4"]
        quick = ["--warmup-s", 0, "--window-s", 0.3, "--tolerance", 10]
        done = invoke("double", *words, *quick)
        assert done.exit_code == 0, done.output
        refused = invoke("double", *words, "--rows", 9)
        known = _targets(SimpleNamespace(params={"server": server.grpc_url}), "dou")  # type: ignore[arg-type]
    assert "double measured: clients 1, rows 3" in done.output
    for line in ("requests/s", "p99.9", "in the server", "3 a request, 3 an execution", "CPU of the load"):
        assert line in done.output
    assert refused.exit_code == 1
    assert refused.stderr == "sonic: model double takes 8 rows at most; given 9\n"
    assert [record.status for record in read(file)] == ["measured", "failed"]
    assert {record.settings["server_kind"] for record in read(file)} == {"T4"}
    assert known == ["double"]
    assert "miniaod" in _targets(SimpleNamespace(params={"server": "grpc://127.0.0.1:1"}), "mini")  # type: ignore[arg-type]


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_load_some_of_whose_requests_fail_says_so_and_ends_with_1(tmp_path: Path, quiet: list[str]) -> None:
    calls = count()

    @sonic.service(inputs={"x": "FP32[-1,4]"}, outputs={"y": "FP32[-1,4]"}, max_batch=8)
    def moody(x):  # type: ignore[no-untyped-def]
        if next(calls) % 3 == 2:
            raise ValueError("not this one")
        return x

    file = tmp_path / "points.jsonl"
    with sonic.serve(moody) as server:
        quick = ["--warmup-s", 0, "--window-s", 0.3, "--tolerance", 10]
        done = invoke("moody", "--server", server.grpc_url, "--json", file, *quick, *quiet)
    (record,) = read(file)
    assert record.status == "measured"
    assert failures(record) > 0
    assert done.exit_code == 1
    said = done.stderr if quiet else done.stdout
    assert f"{failures(record):,} of " in said
    assert "requests failed, the first: " in said
    assert "not this one" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["m", "--server", "what"], 1, "'what' is not a URL of a server"),
        (["m", "--server", "grpc://127.0.0.1:1"], 1, "Connection refused"),
        (["m", "--clients", 0], 1, "clients is 1 or more; given 0"),
        (["m", "--clients", 2, "--rate", 5], 1, "--rate is of an open loop and --clients of a closed one"),
        (["m", "--arrivals", "constant"], 1, "--arrivals is of an open loop, which takes --rate"),
        (["m", "--rate", 5, "--think-s", 1], 1, "think_s is of clients in a closed loop and rate of an open one"),
        (["m", "--data", "gone.npz"], 1, "no input file gone.npz"),
        (["m", "--data", "gone"], 1, "no input file gone"),
        (["w", "--input", "gone.root"], 1, "no input file gone.root"),
        (["m", "--arrivals", "never"], 1, "arrivals are poisson or constant; given never"),
        (["m", "--shape", "1,2"], 2, "expected NAME:1,3, got '1,2'"),
        (["m", "--shape", "x:1,two"], 2, "expected NAME:1,3, got 'x:1,two'"),
        (["m", "--json", "/no/such/folder/f"], 1, "cannot write /no/such/folder/f: there is no folder"),
        (["w", "--input", __file__, "--chunk-size", 0], 1, "chunk_size is 1 or more; given 0"),
        (["w.py"], 1, "w.py is a workflow: give files with its events by --input"),
        (
            ["miniaod", "--server", "grpc://127.0.0.1:1"],
            1,
            "; miniaod is a workflow: give files",
        ),
        (["m", "--threads", 2], 1, "--threads is of the jobs of a workflow, which take --input"),
        (["m", "--data", "recorded", "--rows", 1], 1, "--rows is of random numbers and tensors (.npz), and recorded"),
        (["m", "--data", "x.npz", "--shape", "x:1"], 1, "--shape is of random numbers, and --data has shapes"),
        (["w", "--input", "x.root", "--rows", 1], 1, "--rows is of a model, and with --input the target is a workflow"),
        (["w", "--input", "x.root", "--rows", 2], 1, "--rows is of a model, and with --input the target is a workflow"),
        (["w", "--input", "x.root", "--processes", 2], 1, "--processes is of a model, and with --input the target is"),
        (["no_such_workflow", "--input", __file__], 1, "no workflow 'no_such_workflow'"),
    ],
)
def test_what_makes_no_sense(words: list[object], code: int, said: str) -> None:
    done = invoke(*words)
    assert done.exit_code == code
    assert said in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(("words", "rows"), [((), None), (("--rows", 1), 1), (("--rows", 2), 2)])
def test_rows_of_a_file_are_all_or_as_many_as_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], rows: int | None
) -> None:
    asked: list[object] = []

    def measure(*_: object, inputs: object, **__: object) -> None:
        asked.append(inputs)
        raise SonicError("enough")

    monkeypatch.setattr("sonic.study.load.measure.measure", measure)
    invoke("m", "--data", tmp_path / "x.npz", *words)
    assert asked == [FileInputs(str(tmp_path / "x.npz"), rows)]


def test_what_of_a_record_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    histogram = Histogram()
    histogram.add([0.001] * 99 + [0.5])
    served = ServerWindow(
        requests=200, failures=0, executions=50, rows=800, queue_s=0.002, input_s=0.0, infer_s=0.003, output_s=0.0,
        cpu_s=1.0, gpu_use=0.4, duration_s=4.0,
    )  # fmt: skip
    window = Window(
        duration_s=2.0, requests=100, errors=3, rows=400, bytes_sent=4_000_000, client_cpu_s=0.1, late=7, server=served
    )
    record = Record(
        target="m",
        settings={"rate": 50.0, "rows": 4},
        status="unstable",
        reason="it grew",
        started="",
        machine=Machine(system="", processor="", cores=1),
        versions={},
        throughput=Estimate(50.0, 49.0, 51.0),
        row_rate=Estimate(200.0),
        latencies=histogram.latencies(),
        windows=(window,),
        details={"module_s.fit": 0.25, "instances": 2.0, "batch": 8.0, "delay_us": 100.0},
    )
    show(record, Console(width=120))
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("an event") == 1  # how a model is served takes no time
    for text in (
        "m unstable: rate 50, rows 4 it grew requests/s 50.00 ± 1.00",
        "mean 5.99 ms, largest 500 ms",
        "p99.9 500 ms",
        "module fit 250 ms an event",
        "queue 2 ms, infer 3 ms",
        "4 a request, 16 an execution",
        "1 ms a request, 5% of a core",
        "5 ms a request, 25% of a core",
        "busy 40% of the time",
        "2 MB/s sent",
        "7 requests were sent more than a millisecond after they were due",
    ):
        assert text in shown


def test_rows_of_a_workflow_s_models_are_not_called_events(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    server = ServerWindow(
        requests=4, failures=0, executions=2, rows=60, queue_s=0.0, input_s=0.0, infer_s=0.0, output_s=0.0,
        duration_s=2.0,
    )  # fmt: skip
    window = Window(duration_s=2.0, requests=2, errors=0, rows=10, bytes_sent=0, client_cpu_s=0.1, server=server)
    record = Record(
        target="w",
        settings={"input": "x.root", "threads": 1},
        status="measured",
        started="",
        machine=Machine(system="", processor="", cores=1),
        versions={},
        throughput=Estimate(1.0),
        windows=(window,),
    )
    show(record, Console(width=120))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "events 5 a chunk" in lines
    assert "rows 30 an execution" in lines


def test_long_times_and_large_requests_are_written_out_and_names_are_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    histogram = Histogram()
    histogram.add([3.5] * 10)
    record = Record(
        target="m[run]",
        settings={"clients": 1, "rows": 16000, "data": "[/x]"},
        status="measured",
        started="",
        machine=Machine(system="", processor="", cores=1),
        versions={},
        throughput=Estimate(0.3),
        row_rate=Estimate(4571.0),
        latencies=histogram.latencies(),
        windows=(Window(duration_s=35.0, requests=10, errors=0, rows=160_000),),
    )
    show(record, Console(width=120))
    shown = " ".join(capsys.readouterr().out.split())
    assert "latency mean 3,500 ms, largest 3,500 ms" in shown
    assert "rows 16,000 a request" in shown
    assert shown.startswith("m[run] measured: clients 1, rows 16000, data [/x]")
