"""Recorded requests go where they are sent, when they are due, and answers with other bits are found."""

from __future__ import annotations

import json
import platform
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import sonic
from sonic.cli import app
from sonic.errors import ConfigError, Unavailable
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.recording import encode
from sonic.study.recording import Recording
from sonic.study.replay import Pace, _Player, _Tally, replay

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if (x < 0).any():
                raise ValueError("below zero")
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", FACTOR * x)]))
        return answers
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
"""
MS = 10**6


def models(folder: Path, factor: float) -> str:
    for name in ("first", "second"):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(CONFIG)
        (folder / name / "1" / "model.py").write_text(MODEL.replace("FACTOR", f"np.float32({factor})"))
    return f"local:{folder}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    return models(tmp_path_factory.mktemp("doubling"), 2)


def recorded(path: Path, *, bad: bool = False) -> Recording:
    parts = []
    for i in range(6):
        x = np.full((i % 2 + 1, 2), -1 if bad else i, np.float32)
        parts.append(encode(InferRequest("second" if i % 3 == 2 else "first", {"x": x}, id=str(i)), 1 + i * MS))
    path.write_bytes(b"".join(parts))
    return Recording(path)


def test_a_recording_that_is_repeated_goes_on_as_it_went() -> None:
    due_s = Pace(speed=2.0, repeats=3).due_s(np.array([0.0, 1.0, 2.0]))
    assert due_s is not None
    assert due_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]


@pytest.mark.parametrize("pace", [Pace(), Pace(rate=2000.0, repeats=2), Pace(clients=2)])
def test_every_request_ends_in_its_answer(tmp_path: Path, server: str, pace: Pace) -> None:
    told = []
    records = replay(recorded(tmp_path / "r"), server, pace, progress=lambda *at: told.append(at))
    assert {record.target: record.windows[0].requests for record in records} == {
        "first": 4 * pace.repeats,
        "second": 2 * pace.repeats,
    }
    assert {record.status for record in records} == {"measured"}
    assert sum(record.windows[0].rows for record in records) == 9 * pace.repeats
    assert sum(record.windows[0].bytes_received for record in records) == 9 * 8 * pace.repeats
    assert told[-1] == (6 * pace.repeats, 6 * pace.repeats)
    for record in records:
        assert record.latencies is not None
        assert record.latencies.count == record.windows[0].requests
        assert record.windows[0].duration_s > 0


def test_a_record_says_whose_rows_it_counts_and_of_which_versions(tmp_path: Path) -> None:
    models(tmp_path / "models", 2)
    for config in (tmp_path / "models").glob("*/config.pbtxt"):
        config.write_text(CONFIG.replace("max_batch_size: 8", "").replace("dims: [ 2 ]", "dims: [ -1, 2 ]"))
    recording = recorded(tmp_path / "r")
    with sonic.serve(tmp_path / "models") as server:
        records = replay(recording, server.grpc_url, Pace(clients=1))
    assert [record.windows[0].rows for record in records] == [4, 2]  # as the server counts: requests, without batches
    for record in records:
        assert record.windows[0].server is not None
        assert record.windows[0].server.rows == record.windows[0].rows
        assert record.versions == {
            "sonic": sonic.__version__,
            "python": platform.python_version(),
            "server": f"sonic {sonic.__version__}",
            "platform": "python",
        }


def test_answers_with_other_bits_are_found(tmp_path: Path, server: str) -> None:
    others = models(tmp_path / "tripling", 3)
    recording = recorded(tmp_path / "r")
    for other, different in ((server, [0, 0]), (others, [3, 2])):  # 0 times 2 is 0 times 3
        records = replay(recording, server, Pace(clients=3), compare=other)
        assert [record.details["compared"] for record in records] == [4, 2]
        assert [record.details["different"] for record in records] == different


def test_what_only_one_server_answers_is_not_compared(tmp_path: Path, server: str) -> None:
    recording = recorded(tmp_path / "r")
    records = replay(recording, server, Pace(clients=3, timeout_s=1), compare="grpc://127.0.0.1:9")
    for record, count in zip(records, (4, 2), strict=True):
        assert record.details == {"compared": 0, "different": 0, "unanswered": count}
        assert (record.status, record.windows[0].requests, record.windows[0].errors) == ("measured", count, 0)
        assert "127.0.0.1:9" in record.reason
    options = ["--server", server, "--compare", "grpc://127.0.0.1:9"]
    said = CliRunner().invoke(app, ["study", "replay", str(tmp_path / "r"), *options], env={"COLUMNS": "70"})
    assert said.exit_code == 1
    assert "answer" in said.output
    assert "0 of 0" in said.output
    assert "\N{HORIZONTAL ELLIPSIS}" not in said.output  # a table is whole on a narrow terminal


def test_what_an_interrupt_cancels_has_not_failed(tmp_path: Path) -> None:
    class Way:
        url = "fake"

        def __init__(self) -> None:
            self.sent: list[Future[InferResponse]] = []

        def submit(self, _: InferRequest) -> Future[InferResponse]:
            self.sent.append(Future())
            return self.sent[-1]

    def interrupt(sent: int, _: int) -> None:
        if sent == 2:
            way.sent[0].set_result(InferResponse("first", "1", {}))
            raise KeyboardInterrupt

    way, recording = Way(), recorded(tmp_path / "r")
    tallies = {model: _Tally() for model in recording.models}
    player = _Player(recording, [way], Pace(clients=4), tallies, {})  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        player.play(interrupt)
    way.sent[1].set_exception(Unavailable("closed"))
    assert [(tally.requests, tally.errors) for tally in tallies.values()] == [(1, 0), (0, 0)]


def test_requests_that_fail_are_counted_and_said(tmp_path: Path, server: str) -> None:
    records = replay(recorded(tmp_path / "r", bad=True), server, Pace(speed=100))
    assert [(record.status, record.windows[0].errors) for record in records] == [("failed", 4), ("failed", 2)]
    assert "below zero" in records[0].reason


def test_no_server(tmp_path: Path) -> None:
    records = replay(recorded(tmp_path / "r"), "grpc://127.0.0.1:9", Pace(timeout_s=1))
    assert {(record.status, record.throughput) for record in records} == {("failed", None)}
    assert "takes no requests" in records[0].reason


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=20).map(sorted),
    st.integers(1, 4),
    st.floats(0.01, 100),
)
def test_the_recorded_distances_scaled(sent_s: list[float], repeats: int, speed: float) -> None:
    recorded_s = np.array(sent_s) - sent_s[0]
    due_s = Pace(speed=speed, repeats=repeats).due_s(recorded_s)
    assert due_s is not None
    assert len(due_s) == repeats * len(recorded_s)
    np.testing.assert_allclose(due_s[: len(recorded_s)] * speed, recorded_s, atol=1e-12)
    assert (np.diff(due_s) >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 1.0, "clients": 1},
        {"rate": 1.0, "speed": 2.0},
        {"clients": 1, "speed": 2.0},
        {"speed": 0.0},
        {"rate": -1.0},
        {"clients": 0},
        {"repeats": 0},
    ],
)
def test_a_pace_that_makes_no_sense(options: dict) -> None:
    with pytest.raises(ConfigError):
        Pace(**options)


def test_the_command(tmp_path: Path, server: str) -> None:
    run = CliRunner()
    recorded(tmp_path / "r")
    said = run.invoke(app, ["study", "replay", str(tmp_path / "r")])
    assert "6 requests in 0.005 s" in said.output
    assert "4 to first, 2 to second" in said.output
    options = ["--server", server, "--compare", server, "--json", str(tmp_path / "out.jsonl")]
    done = run.invoke(app, ["study", "replay", str(tmp_path / "r"), *options], env={"COLUMNS": "150"})
    assert done.exit_code == 0, done.output
    assert "0 of 4" in done.output
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["first", "second"]
    recorded(tmp_path / "r", bad=True)
    failed = run.invoke(app, ["study", "replay", str(tmp_path / "r"), "--server", server], env={"COLUMNS": "150"})
    assert failed.exit_code == 1
    assert "below zero" in failed.output


def test_a_replay_that_is_interrupted_is_recorded_and_says_so(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sonic.study.replay._Player.play", interrupted)
    recorded(tmp_path / "r")
    file = tmp_path / "out.jsonl"
    ended = CliRunner().invoke(app, ["study", "replay", str(tmp_path / "r"), "--server", server, "--json", str(file)])
    assert ended.exit_code == 130
    assert [json.loads(line)["status"] for line in file.read_text().splitlines()] == ["interrupted"] * 2


@pytest.mark.parametrize(
    "option", [("--speed", "2"), ("--rate", "0"), ("--repeat", "2"), ("--compare", "local:x"), ("--json", "out.jsonl")]
)
def test_what_is_sent_needs_a_server(tmp_path: Path, option: tuple[str, str]) -> None:
    recorded(tmp_path / "r")
    said = CliRunner().invoke(app, ["study", "replay", str(tmp_path / "r"), *option])
    assert said.exit_code != 0
    assert f"{option[0]} is of requests that are sent: give --server too" in " ".join(said.output.split())
