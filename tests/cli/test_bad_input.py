"""What goes wrong in a job ends in one line that says what and where, a non-zero exit status, and nothing half-done."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from sonic.cli import app
from sonic.client.fallback import ServeProcess

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 60.0
EVENTS = 50

WORKFLOW = """
    import os
    import signal

    import numpy as np

    from sonic.framework import Filter, Offload, Producer, Workflow


    class Prepare(Producer):
        consumes = ("x",)
        produces = ("prepared",)

        def produce(self, events):
            if "KILL" in os.environ and 20 in events.x:
                os.kill(int(os.environ["KILL"]), signal.SIGKILL)
            if "TELL" in os.environ:
                os.write(2, b"at work\\n")
            return {"prepared": events.x}


    class Ask(Offload):
        model = os.environ.get("MODEL", "echo")
        consumes = ("prepared",)
        produces = ("y",)

        def acquire(self, events):
            return {"a": np.asarray(events.prepared, np.float32)[:, None]}

        def produce(self, events, outputs):
            return {"y": outputs["b"][:, 0]}


    class Large(Filter):
        consumes = ("y",)

        def select(self, events):
            return events.y > float(os.environ.get("CUT", "-1"))


    workflow = Workflow("small", (Prepare(), Ask(), Large()), keep=("x", "y"), models="models")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with events.root, a workflow, and models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(dedent(WORKFLOW))
    write("events.root", {"x": np.arange(float(EVENTS))})
    for name, width in (("echo", 1), ("wide", 3)):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(
            'backend: "identity" max_batch_size: 8 '
            f'input {{ name: "a" data_type: TYPE_FP32 dims: [ {width} ] }} '
            f'output {{ name: "b" data_type: TYPE_FP32 dims: [ {width} ] }}'
        )
    return tmp_path


def write(name: str, columns: dict[str, np.ndarray]) -> None:
    with uproot.recreate(name) as file:
        tree = file.mktree("Events", {column: values.dtype for column, values in columns.items()})
        if len(next(iter(columns.values()))):
            tree.extend(columns)


def words(*more: str, mode: str = "direct", inputs: tuple[str, ...] = ("events.root",)) -> list[str]:
    return ["run", "small.py", "-i", *inputs, "-o", "out.root", "--chunk-size", "10", "--mode", mode, *more]


def run(*more: str, env: dict[str, str] | None = None, **options: object) -> object:
    return CliRunner().invoke(app, words(*more, **options), env=env)  # type: ignore[arg-type]


def started(*command: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "sonic", *command], stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


def nothing_is_left(folder: Path) -> bool:
    return list(folder.glob("out.*")) == [] and list(folder.glob("*.part")) == []


def one_line(folder: Path, code: int, stderr: str, *says: str) -> bool:
    """Whether a job ended as it should when it cannot go on."""
    assert code == 1, stderr
    assert stderr.startswith("sonic: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert [word for word in says if word not in stderr] == [], stderr
    return nothing_is_left(folder)


def whole(folder: Path, events: int) -> bool:
    """Whether the output is there and says how many events it holds."""
    with uproot.open(folder / "out.root") as file:
        assert json.loads(file["sonic"])["events"] == file["Events"].num_entries == events
    return list(folder.glob("*.part")) == []


def test_a_missing_file(folder: Path) -> None:
    done = run(inputs=("events.root", "absent.root"))
    assert one_line(folder, done.exit_code, done.stderr, "no input file absent.root")


@pytest.mark.parametrize("kept", [0, 10, 300, 0.5, 0.99])
def test_a_truncated_file(folder: Path, kept: float) -> None:
    data = (folder / "events.root").read_bytes()
    (folder / "short.root").write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    done = run(inputs=("events.root", "short.root"))
    assert one_line(folder, done.exit_code, done.stderr, "cannot read short.root", "ends too early")


def test_a_file_without_the_needed_branches(folder: Path) -> None:
    write("other.root", {"X": np.arange(3.0)})
    done = run(inputs=("events.root", "other.root"))
    assert one_line(folder, done.exit_code, done.stderr, "other.root", "no branch 'x'", "Prepare", "similar: X")


def test_an_empty_file(folder: Path) -> None:
    write("none.root", {"x": np.zeros(0)})
    assert run(inputs=("none.root",)).exit_code == 0
    assert whole(folder, 0)
    assert run(inputs=("none.root", "events.root")).exit_code == 0
    assert whole(folder, EVENTS)


def test_chunks_of_no_events(folder: Path) -> None:
    done = run("--chunk-size", "0")
    assert one_line(folder, done.exit_code, done.stderr, "chunk size", "at least 1", "0")
    assert run("--entries", "7:7").exit_code == 0
    assert whole(folder, 0)
    assert run("--filter-output", "pass", env={"CUT": "44"}).exit_code == 0  # the first four chunks lose all
    assert whole(folder, 5)


@pytest.mark.parametrize("mode", ["direct", "service"])
def test_an_absent_model(folder: Path, mode: str) -> None:
    done = run(mode=mode, env={"MODEL": "nowhere"})
    assert one_line(folder, done.exit_code, done.stderr, "module Ask", "nowhere")


@pytest.mark.parametrize("mode", ["direct", "service"])
def test_a_model_with_other_inputs(folder: Path, mode: str) -> None:
    done = run(mode=mode, env={"MODEL": "wide"})
    says = ("module Ask", "events.root entries", "input 'a' of model 'wide' is FP32 [-1, 3]", "given float32 [10, 1]")
    assert one_line(folder, done.exit_code, done.stderr, *says)


@pytest.mark.parametrize("mode", ["direct", "service"])
def test_a_model_that_gives_nan(folder: Path, mode: str) -> None:
    x = np.arange(float(EVENTS))
    x[33] = np.nan
    write("nan.root", {"x": x})
    done = run(mode=mode, inputs=("nan.root",))
    says = ("module Ask", "nan.root entries 30:40", "model echo", "1 of 10 values of output 'b' as NaN")
    assert one_line(folder, done.exit_code, done.stderr, *says)


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_a_port_that_is_taken(folder: Path, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--grpc-port": "0", "--http-port": "0", "--metrics-port": "0", f"--{kind}-port": port}
        process = started("serve", "models", *(word for option in ports.items() for word in option))
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert one_line(folder, process.returncode, stderr, port, "taken", f"--{kind}-port")


def test_a_server_that_dies_in_mid_run(folder: Path) -> None:
    with ServeProcess(["models"]) as server:
        env = {"KILL": str(server.pid), "SONIC_CLIENT_BACKOFF_S": "0.01"}
        done = run("--server", server.grpc_url, "--no-fallback", "--streams", "1", mode="service", env=env)
    assert one_line(folder, done.exit_code, done.stderr, "module Ask", "events.root entries 20:30", server.grpc_url)
    with ServeProcess(["models"]) as server:
        env = {"KILL": str(server.pid)}
        spare = ("--fallback", "models", "--fallback-in", "child")
        done = run("--server", server.grpc_url, *spare, "--streams", "1", mode="service", env=env)
    assert done.exit_code == 0, done.stderr
    assert whole(folder, EVENTS)
    assert "requests were answered by the fallback" in done.stdout


def test_a_full_disk(folder: Path) -> None:
    # A limit on the size of files stands for the end of the disk; nothing else of a job writes as much.
    process = started(*words("--repeat", "100", "--chunk-size", "50"), preexec_fn=_allow_small_files)
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert one_line(folder, process.returncode, stderr, "cannot write out.root", "File too large")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c(folder: Path, number: signal.Signals) -> None:
    process = started(*words("--repeat", "1000000", mode="service"), env={**os.environ, "TELL": "1"})
    assert process.stderr is not None
    assert process.stderr.readline() == "at work\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + number
    ended = "sonic: interrupted" if number == signal.SIGINT else "sonic: terminated"
    assert [line for line in stderr.splitlines() if line != "at work"] == [ended]
    assert nothing_is_left(folder)


def _allow_small_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))
