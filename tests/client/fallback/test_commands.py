from __future__ import annotations

import pytest

from sonic.client.fallback import commands
from sonic.client.fallback.description import Fallback
from sonic.errors import ConfigError
from sonic.server.tritonserver import flags

SERVER = [
    "tritonserver",
    "--model-repository=/models",
    "--model-control-mode=explicit",
    "--id=sonic-1",
]
ENDS = ["--allow-http=false", "--allow-metrics=false"]


def described(**more: object) -> Fallback:
    return Fallback("models", "container", image="triton", **more)  # type: ignore[arg-type]


def test_docker() -> None:
    command = commands.run_command(described(cores=2), "docker", "sonic-1", folder="/data/my models", user=(12, 34))
    assert command == [
        *("docker", "run", "--rm", "--init", "--name", "sonic-1", "--publish", "127.0.0.1::8001"),
        *("--mount", "type=bind,source=/data/my models,target=/models,readonly"),
        *("--read-only", "--tmpfs", "/tmp", "--security-opt", "label=disable", "--user", "12:34"),
        *("--cpus", "2", "--env", "OMP_NUM_THREADS=2", "triton", *SERVER),
        *("--grpc-address=0.0.0.0", "--grpc-port=8001", *ENDS),
    ]
    assert commands.stop_command("docker", "sonic-1") == ["docker", "rm", "--force", "sonic-1"]
    assert commands.port_command("docker", "sonic-1") == ["docker", "port", "sonic-1", "8001/tcp"]


def test_podman_maps_the_user() -> None:
    command = commands.run_command(described(), "podman", "sonic-1", folder="/m", user=(12, 34))
    assert command[:2] == ["podman", "run"]
    assert command[command.index("--user") : command.index("triton")] == ["--user", "12:34", "--userns", "keep-id"]
    assert commands.stop_command("podman", "sonic-1") == ["podman", "rm", "--force", "sonic-1"]


def test_apptainer_is_given_a_port() -> None:
    command = commands.run_command(described(cores=3), "apptainer", "sonic-1", folder="/m", port=4711, user=(12, 34))
    assert command == [
        *("apptainer", "exec", "--cleanenv", "--no-home", "--mount", "type=bind,source=/m,destination=/models,ro"),
        *("--env", "OMP_NUM_THREADS=3", "triton", *SERVER),
        *("--grpc-address=127.0.0.1", "--grpc-port=4711", *ENDS),
    ]
    assert commands.stop_command("apptainer", "sonic-1") == []


@pytest.mark.parametrize("engine", commands.ENGINES)
def test_options_of_ones_own(engine: str) -> None:
    fallback = described(engine_options=("--gpus", "all"), options=("--log-verbose=1",), command=("my-server", "-x"))
    command = commands.run_command(fallback, engine, "sonic-1", folder="/m")
    at = command.index("--gpus")
    assert command[at : at + 5] == ["--gpus", "all", "triton", "my-server", "-x"]
    assert command[-1] == "--log-verbose=1"
    read = flags.parse(command[at + 5 :])
    assert (read.repositories, read.control, read.models, read.name) == (("/models",), "explicit", (), "sonic-1")
    assert (read.http_port, read.metrics_port, read.warnings) == (None, None, ())


def test_a_path_that_engines_cannot_take() -> None:
    with pytest.raises(ConfigError, match="cannot be given /a,b: its path has a comma"):
        commands.run_command(described(), "docker", "sonic-1", folder="/a,b")


@pytest.mark.parametrize(
    ("printed", "port"),
    [
        ("127.0.0.1:49153\n", 49153),
        ("0.0.0.0:49153\n[::]:49154\n", 49153),
        ("8001/tcp -> 127.0.0.1:49153\n", None),
        ("Error: No such container: sonic-1\n", None),
        ("127.0.0.1:0\n", None),
        ("", None),
    ],
)
def test_published_ports(printed: str, port: int | None) -> None:
    assert commands.published_port(printed) == port


@pytest.mark.parametrize(
    "log",
    ["E1 main.py:61] Address already in use: --grpc-port", "failed to start GRPC: Socket '127.0.0.1:1' already in use"],
)
def test_a_port_that_is_taken(log: str) -> None:
    assert commands.port_taken(log)
    assert not commands.port_taken("model is unavailable: no GPU is in use")
