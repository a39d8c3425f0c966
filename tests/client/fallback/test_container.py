from __future__ import annotations

import json
import os
import signal
import socket
import sys
from threading import Event
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from sonic.client.fallback import Fallback, container
from sonic.client.fallback.commands import ENGINES
from sonic.client.fallback.container import Container, find_engine
from sonic.client.fallback.owned import OwnedProcess
from sonic.errors import Cancelled, ConfigError, Unavailable
from sonic.protocol.tensors import same_bits
from sonic.testing.conformance import WAIT_S, echo_request, error_of

if TYPE_CHECKING:
    from pathlib import Path


def described(models: Path, engine: str = "docker", **more: Any) -> Fallback:
    return Fallback(str(models), "container", image=more.pop("image", "triton.sif"), engine=engine, **more)  # type: ignore[arg-type]


def servers(under: int) -> list[psutil.Process]:
    """Processes of the server that an engine runs, wherever they hang."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"--id=sonic-{under}-" in str(process.info["cmdline"])
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("engines")
def test_it_serves_until_it_is_closed(models: Path, engine: str) -> None:
    started = Container(described(models, engine, cores=1), Event())
    try:
        assert started.engine == engine
        assert started.transport.server_name(WAIT_S) == started.name
        assert [row.state for row in started.transport.models(WAIT_S)] == ["UNAVAILABLE"] * 2
        started.transport.load("echo")
        request = echo_request()
        assert same_bits(started.transport.submit(request).result(WAIT_S).outputs["y"], request.inputs["x"])
        started.transport.unload("echo")
        assert isinstance(error_of(started.transport.submit(request)), Unavailable)
        running = servers(os.getpid())
        assert running
    finally:
        started.transport.close()
        started.close()
    assert not psutil.wait_procs(running, timeout=WAIT_S)[1]


@pytest.mark.usefixtures("engines")
def test_the_first_engine_that_is_installed(engines: Path) -> None:
    assert find_engine("auto") == "apptainer"
    (engines / "apptainer").unlink()
    assert find_engine("auto") == "docker"
    assert find_engine("podman") == "podman"


@pytest.mark.usefixtures("_no_engines")
def test_no_engine(models: Path) -> None:
    with pytest.raises(ConfigError, match="needs an engine to run it: none of apptainer, docker, podman is on"):
        Container(described(models, "auto"), Event())
    with pytest.raises(ConfigError, match="needs an engine to run it: podman is not on the PATH"):
        Container(described(models, "podman"), Event())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("engines")
def test_one_that_cannot_start_shows_its_log(models: Path, engine: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Container(described(models, engine, image="absent.sif"), Event())
    assert str(caught.value) == (
        f"{engine} with absent.sif ended with status 1 before it was ready: {engine}: no such image: absent.sif"
    )


@pytest.mark.usefixtures("engines")
def test_one_that_takes_too_long(models: Path) -> None:
    with pytest.raises(Unavailable, match=r"docker with triton.sif was not ready within 0\.01 s"):
        Container(described(models, start_timeout_s=0.01), Event())
    assert not servers(os.getpid())


@pytest.mark.usefixtures("engines")
def test_one_that_is_not_wanted_any_more(models: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled, match="not needed any more"):
        Container(described(models), stop)
    assert not servers(os.getpid())


@pytest.mark.usefixtures("engines")
def test_a_port_that_somebody_else_takes_first(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_port = container._free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], taken.getsockname()[1]]
        monkeypatch.setattr(container, "_free_port", lambda: ports.pop() if ports else free_port())
        started = Container(described(models, "apptainer"), Event())
        try:
            assert ports == []
            assert started.transport.server_name(WAIT_S) == started.name
        finally:
            started.transport.close()
            started.close()


@pytest.mark.usefixtures("engines")
def test_ports_that_are_always_taken(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_PORTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(container, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(Unavailable, match="already in use"):
            Container(described(models, "apptainer"), Event())


@pytest.mark.usefixtures("engines")
def test_it_does_not_outlive_its_owner(models: Path) -> None:
    program = (
        "import os, sys\nfrom threading import Event\n"
        "from sonic.client.fallback import Fallback\nfrom sonic.client.fallback.container import Container\n"
        f"fallbacks = [Fallback({str(models)!r}, 'container', image='triton.sif', engine=engine)\n"
        "    for engine in ('apptainer', 'docker')]\n"
        "kept = [Container(fallback, Event()) for fallback in fallbacks]\n"
        "print('ready', flush=True)\nsys.stdin.read()"
    )
    owner = OwnedProcess("owner", [sys.executable, "-c", program])
    try:
        while "ready" not in owner.log() and not owner.wait(0.01):
            pass
        running = servers(owner.pid)
        assert len({word for process in running for word in process.cmdline() if word.startswith("--id=")}) == 2
        os.kill(owner.pid, signal.SIGKILL)
        assert not psutil.wait_procs(running, timeout=WAIT_S)[1]
    finally:
        owner.close()


def test_one_whose_keeper_was_killed(models: Path, engines: Path) -> None:
    started = Container(described(models), Event())
    try:
        (note,) = (engines / "state").iterdir()
        server = psutil.Process(json.loads(note.read_text())["pid"])
        os.killpg(started.process.pid, signal.SIGKILL)
        assert started.process.wait(WAIT_S)
        assert server.is_running()
    finally:
        started.transport.close()
        started.close()
    assert not psutil.wait_procs([server], timeout=WAIT_S)[1]
