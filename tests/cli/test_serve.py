from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from sonic.cli import app
from sonic.errors import ConfigError, Unauthenticated
from sonic.server.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENTITY = """backend: "identity" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 50 }
input { name: "x" data_type: TYPE_INT32 dims: [ 1 ] } output { name: "y" data_type: TYPE_INT32 dims: [ 1 ] }"""
BODY = {"inputs": [{"name": "x", "datatype": "INT32", "shape": [1, 1], "data": [7]}]}
ANY = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(IDENTITY)
    return tmp_path / "models"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sonic", *map(str, arguments)]


def sonic(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False, env=environment)


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, str], list[str]]]:
    """A server, its endpoints, and what it printed before them."""
    process = subprocess.Popen(
        command("serve", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        urls: dict[str, str] = {}
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "://" in line:
                name, url = line.split()
                urls[name] = url
            if "metrics" in urls:
                break
        yield process, urls, lines
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def infer(urls: dict[str, str], model: str = "one") -> Any:
    return httpx.post(f"{urls['HTTP']}/v2/models/{model}/infer", json=BODY).json()["outputs"][0]["data"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number: int, models: Path) -> None:
    with running(models, *ANY) as (process, urls, lines):
        assert infer(urls) == [7]
        assert urls["gRPC"].startswith("grpc://127.0.0.1:")
        table = "".join(lines)
        for word in ("one", "two", "READY", "instances", "up to 8, waits 50 us"):
            assert word in table
        assert httpx.get(urls["metrics"]).status_code == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == "draining, for at most 30 s\n"


def test_only_some_models_and_the_ports_in_a_file(models: Path, tmp_path: Path) -> None:
    ports = tmp_path / "ports.json"
    with running(models, *ANY, "--model", "two", "--cores", "1", "--ports-file", ports) as (process, urls, lines):
        assert infer(urls, "two") == [7]
        assert "one" not in "".join(lines[:-3])
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    written = json.loads(ports.read_text())
    assert {
        name: int(urls[label].split(":")[2].split("/")[0])
        for name, label in (("grpc", "gRPC"), ("http", "HTTP"), ("metrics", "metrics"))
    } == written
    assert list(tmp_path.iterdir()) != []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ports")] == ["ports.json"]


def test_ends_with_its_parent(models: Path) -> None:
    with running(models, *ANY, "--watch-stdin") as (process, urls, _):
        assert infer(urls) == [7]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_signal_while_standard_input_is_watched(models: Path) -> None:
    with running(models, *ANY, "--watch-stdin") as (process, urls, _):
        assert infer(urls) == [7]
        process.send_signal(signal.SIGTERM)
        process.wait(30)  # with standard input open, whose end somebody still waits for
        assert process.stderr is not None
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "draining, for at most 30 s\n")


def test_serves_the_others_if_told_to(models: Path) -> None:
    (models / "two" / "config.pbtxt").write_text("what?")
    with running(models, *ANY, "--no-exit-on-error") as (process, urls, lines):
        assert infer(urls) == [7]
        text = "".join(lines)
        assert "UNAVAILABLE" in text
        assert re.search(r"^two: .*config.pbtxt:1:1", text, re.MULTILINE)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "config.pbtxt:1:1" in errors


def test_every_request_is_logged_when_asked_for(models: Path) -> None:
    with running(models, *ANY, "--verbose") as (process, urls, _):
        infer(urls)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert "loaded model 'one' version 1" in errors
    assert "request '' to 'one' ('x' [1, 1]): done" in errors


def test_a_port_that_is_taken(models: Path) -> None:
    with listen("127.0.0.1", 0, "--http-port") as taken:
        port = taken.getsockname()[1]
        done = sonic("serve", models, *ANY, "--grpc-port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"sonic: port {port} is taken on 127.0.0.1: choose another with --grpc-port, or 0 for any free one\n"
    )


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (lambda models: (models / "two" / "config.pbtxt").write_text("what?"), "two/config.pbtxt:1:1"),
        (
            lambda models: (models / "two" / "config.pbtxt").unlink(),
            "model 'two' version 1 cannot be loaded: no backend",
        ),
        (lambda models: (models / "two" / "1" / "..").resolve().rename(models / "1"), "is one model's folder"),
    ],
)
def test_a_model_that_cannot_be_loaded(break_it: Any, text: str, models: Path) -> None:
    break_it(models)
    done = sonic("serve", models, *ANY)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert done.stderr.startswith("sonic: ")
    assert done.stderr.count("\n") == 1


def test_with_debug_there_is_a_traceback(models: Path) -> None:
    done = sonic("--debug", "serve", models / "nope", *ANY)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "sonic.errors.ConfigError: no model repository" in done.stderr


def test_a_ports_file_that_cannot_be_written(models: Path, tmp_path: Path) -> None:
    done = sonic("serve", models, *ANY, "--ports-file", tmp_path / "no" / "folder")
    assert (done.returncode, done.stdout) == (1, ""), "that is found out before any model is loaded"
    assert done.stderr == f"sonic: cannot write {tmp_path}/no/folder: there is no folder {tmp_path}/no\n"


@pytest.mark.parametrize(
    "arguments",
    [(), ("x", "--grpc-port", "many"), ("x", "--model-control", "maybe"), ("x", "--cores", "0"), ("x", "--nope")],
)
def test_a_command_line_that_makes_no_sense(arguments: tuple[str, ...]) -> None:
    done = sonic("serve", *arguments)
    assert done.returncode == 2
    assert "Usage: sonic serve" in done.stderr


SERVICE = """
import sonic

@sonic.service(inputs={"x": "INT32[-1,1]"}, outputs={"y": "INT32[-1,1]"}, max_batch=8)
def twice(x):
    return 2 * x
"""


def test_a_function_beside_folders(models: Path, tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(SERVICE)
    with running(f"{tmp_path}/functions.py:twice", models, *ANY) as (process, urls, lines):
        assert [infer(urls, name) for name in ("one", "twice")] == [[7], [14]]
        assert "twice" in "".join(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    done = sonic("serve", f"{tmp_path}/functions.py:thrice", *ANY)
    assert done.returncode != 0
    assert done.stderr.strip().endswith("has no 'thrice': its services are twice")


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What a server would be started with, and drained, by a command line."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("sonic.server.app.serve", lambda *models, **options: given.update(options, models_of=models))

    def run(start: Callable[[], object], *_: object, **options: Any) -> bool:
        start()
        given.update(options)
        return True

    monkeypatch.setattr("sonic.server.launch.run", run)
    monkeypatch.setattr(
        sys.modules["sonic.cli.serve"], "_set_up_logging", lambda verbose: given.update(verbose=verbose)
    )

    def read(*arguments: object) -> dict[str, Any]:
        given.clear()
        done = CliRunner().invoke(app, ["serve", *map(str, arguments)], catch_exceptions=False)
        if done.exit_code:
            raise ConfigError(done.stderr)
        return given

    return read


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (("--grpc-port", "7"), "grpc_port", 7),
        (("--http-port", "7"), "http_port", 7),
        (("--metrics-port", "7"), "metrics_port", 7),
        (("--no-metrics",), "metrics_port", None),
        (("--host", "h"), "host", "h"),
        (("--metrics-host", "h"), "metrics_host", "h"),
        (("--model", "a", "--model", "b"), "models", ["a", "b"]),
        (("--cores", "3"), "cores", 3),
        (("--default-max-batch", "7"), "default_max_batch", 7),
        (("--max-queue", "7"), "max_queue", 7),
        (("--max-queue-bytes", "7"), "max_queue_bytes", 7),
        (("--cache-bytes", "7"), "cache_bytes", 7),
        (("--no-exit-on-error",), "strict", False),
        (("--no-strict-readiness",), "strict_readiness", False),
        (("--model-control", "explicit"), "explicit", True),
        (("--model-control", "poll", "--poll-s", "7"), "poll_s", 7),
        (("--model-control", "explicit"), "poll_s", None),
        (("--drain-s", "7"), "drain_s", 7),
        (("--notice-s", "7"), "notice_s", 7),
        (("--watch-stdin",), "watch_stdin", True),
        (("--allow-client-shm",), "allow_client_shm", True),
        (("--no-allow-client-shm",), "allow_client_shm", False),
        ((), "allow_client_shm", None),
        (("--trace-file", "t"), "trace_file", Path("t")),
        (("--grpc-socket", "g.sock"), "grpc_socket", Path("g.sock")),
        (("--http-socket", "h.sock"), "http_socket", Path("h.sock")),
        (("--max-message-bytes", "7"), "max_message_bytes", 7),
        (("--busy-poll-us", "7"), "busy_poll_us", 7),
        (("--verbose",), "verbose", True),
        ((), "tls", None),
        ((), "guard", None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_an_option_says_reaches_the_server(
    arguments: tuple[str, ...], name: str, value: object, options: Callable[..., dict[str, Any]]
) -> None:
    given = options("models", "more", *arguments)
    assert given[name] == value
    assert given["models_of"] == ("models", "more")


def test_who_is_let_in(options: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (tmp_path / "keys").write_text(json.dumps({"keys": [{**public, "alg": "ES256"}]}))
    (tmp_path / "tokens").write_text("known ana\n")
    more = ("--jwt-audience", "sonic", "--jwt-issuer", "site", "--rate-limit", "2", "--rate-burst", "3")
    guard = options("x", "--token-file", tmp_path / "tokens", "--jwt-keys", tmp_path / "keys", *more)["guard"]

    def signed(**claims: str) -> str:
        content = {"aud": "sonic", "iss": "site", "sub": "bob", "exp": time.time() + 600, **claims}
        return f"Bearer {jwt.encode(content, key, algorithm='ES256')}"

    assert guard.identify("", "Bearer known") == "token of ana"
    assert guard.identify("", signed()) == "token of site#bob"
    for bad in ("Bearer other", signed(aud="else"), signed(iss="else")):
        with pytest.raises(Unauthenticated):
            guard.identify("", bad)
    assert (guard._limit.per_s, guard._limit.burst) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--jwt-audience", "sonic"), "--jwt-audience and --jwt-issuer need --jwt-keys"),
        (("--jwt-issuer", "site"), "--jwt-audience and --jwt-issuer need --jwt-keys"),
        (("--rate-burst", "2"), "--rate-burst needs --rate-limit"),
        (("--tls-client-ca", "ca"), "TLS needs both --tls-cert and --tls-key"),
        (("--tls-key", "key"), "TLS needs both --tls-cert and --tls-key"),
        (("--poll-s", "5"), "--poll-s needs --model-control poll"),
    ],
)
def test_options_that_would_have_no_effect(
    arguments: tuple[str, ...], complaint: str, options: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        options("x", *arguments)
