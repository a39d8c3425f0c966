"""Shared memory with real servers and real processes: started anew, refused, killed, forked, pickled."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

import sonic
from sonic.client.fallback import ServeProcess
from sonic.client.segments import available, sweep
from sonic.client.settings import ClientSettings
from sonic.client.shared import disconnect
from sonic.errors import DeadlineExceeded, Unavailable
from sonic.protocol.ownership import FOLDER
from sonic.protocol.tensors import same_bits
from sonic.testing.conformance import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.client.lender import Lender
    from sonic.client.regions import MemoryUse
    from sonic.server.app import Server

pytestmark = pytest.mark.skipif(not available(), reason="this system has no folder of shared memory")

SETTINGS = ClientSettings(shared_memory_min_bytes=10_000)
X = np.random.default_rng(5).random((500, 40), np.float32)

CONFIG = """
backend: "identity"
max_batch_size: 1000
input { name: "x" data_type: TYPE_FP32 dims: [ 40 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 40 ] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for name in ("echo", "other"):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with sonic.serve(folder) as server:
        yield server


def use_of(client: sonic.Client) -> MemoryUse:
    (state,) = client.servers()
    assert state.memory is not None
    return state.memory


def lender_of(client: sonic.Client) -> Lender:
    (way,) = client._router._transports.values()
    return way._lender  # type: ignore[attr-defined,no-any-return]


def shared(model: sonic.Model, x: np.ndarray = X) -> int:
    """Call until a request has its tensors in shared memory; return how many have."""
    client = model._client
    before = use_of(client).requests
    for _ in range(3):
        assert same_bits(model(x=x)["y"], x)
        assert lender_of(client).settle(WAIT_S)
    assert use_of(client).requests > before, use_of(client)
    return use_of(client).requests


@pytest.mark.parametrize("front", ["grpc", "http"])
def test_a_model_uses_it_without_being_told(server: Server, front: str) -> None:
    url = server.grpc_url if front == "grpc" else server.http_url
    with sonic.Model(f"{url}/echo", settings=SETTINGS) as model:
        assert shared(model) == 1
        assert use_of(model._client).over_wire == 2, "the first two, while a region was made, and one for answers too"
        assert shared(model) == 4
        model(x=X[:1])
        assert use_of(model._client).requests == 4, "small ones are quicker over the wire"
        assert server.dataplane.memory.status()
    assert not server.dataplane.memory.status()


@pytest.mark.parametrize("front", ["grpc", "http"])
def test_over_a_unix_domain_socket(folder: Path, tmp_path: Path, front: str) -> None:
    path = tmp_path / "server.sock"
    with (
        sonic.serve(folder, **{f"{front}_socket": path}) as server,
        sonic.Model(f"{front}+unix:{path}/echo", settings=SETTINGS) as model,
    ):
        shared(model)
        assert server.dataplane.memory.status()


def test_several_models_and_threads_share_the_regions(server: Server) -> None:
    with sonic.Client([server.grpc_url], settings=SETTINGS) as client:
        models = [client.model(name) for name in ("echo", "other")]

        def call(number: int) -> bool:
            x = np.full((100 + number % 300, 40), number, np.float32)
            return same_bits(models[number % 2](x=x)["y"], x)

        with ThreadPoolExecutor(6) as threads:
            assert all(threads.map(call, range(120)))
        use = use_of(client)
        assert use.requests > 0
        assert use.regions <= 12, "as many as were under way at once, of sizes alike"


def test_a_server_started_anew_on_the_same_port(folder: Path) -> None:
    with sonic.serve(folder) as first:
        port = first.grpc_port
        client = sonic.Client([f"grpc://127.0.0.1:{port}"], settings=SETTINGS)
        model = client.model("echo")
        shared(model)
    try:
        with sonic.serve(folder, grpc_port=port) as second:
            assert same_bits(model(x=X)["y"], X)
            assert lender_of(client).settle(WAIT_S)
            shared(model)
            assert second.dataplane.memory.status()
            assert use_of(client).reason == ""
        client.close()  # when there is no server to be told of it
    finally:
        client.close()
    assert not list(FOLDER.glob(f"sonic-{os.getpid()}-*"))


def test_a_server_that_offers_none(folder: Path) -> None:
    with (
        sonic.serve(folder, allow_client_shm=False) as server,
        sonic.Model(f"{server.grpc_url}/echo", settings=SETTINGS) as model,
    ):
        for _ in range(4):
            assert same_bits(model(x=X)["y"], X)
            assert lender_of(model._client).settle(WAIT_S)
        use = use_of(model._client)
        assert (use.requests, use.over_wire, use.regions) == (0, 4, 0)
        assert "--no-allow-client-shm" in use.reason


def test_switched_off(server: Server) -> None:
    with sonic.Model(f"{server.grpc_url}/echo", settings=ClientSettings(shared_memory="never")) as model:
        for _ in range(3):
            model(x=X)
        (state,) = model._client.servers()
        assert state.memory is None
        assert not server.dataplane.memory.status()


def test_out_of_shared_memory(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, byte_size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with sonic.Model(f"{server.grpc_url}/echo", settings=SETTINGS) as model:
        for _ in range(3):
            assert same_bits(model(x=X)["y"], X)
            assert lender_of(model._client).settle(WAIT_S)
        use = use_of(model._client)
        assert (use.requests, use.over_wire) == (0, 3)
        assert use.reason == "out of shared memory: No space left on device"
    assert not list(FOLDER.glob(f"sonic-{os.getpid()}-*"))


def test_pickled_and_forked(server: Server) -> None:
    with sonic.Model(f"{server.grpc_url}/echo", settings=SETTINGS) as model:
        shared(model)
        names = {status.name for status in server.dataplane.memory.status()}
        with pickle.loads(pickle.dumps(model)) as copy:
            assert shared(copy) == 1
            assert len({status.name for status in server.dataplane.memory.status()}) == len(names) + 1
        disconnect()  # what is unpickled outlives its use
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()

        def child() -> None:
            # Not more: grpc cannot be used in a process that was forked off while it was.
            http = sonic.Model(f"{server.http_url}/echo", settings=SETTINGS)
            theirs.send(shared(http))
            http.close()
            os._exit(0)  # as a worker of multiprocessing ends

        process = context.Process(target=child)
        process.start()
        try:
            assert ours.poll(WAIT_S)
            assert ours.recv() == 1
        finally:
            process.join(WAIT_S)
            process.kill()
        shared(model)  # whose regions the child has left alone
        left = {status.name for status in server.dataplane.memory.status()}
        assert left == names


def test_a_server_that_hangs_and_goes_on(folder: Path) -> None:
    with (
        ServeProcess([folder]) as server,
        sonic.Client([server.grpc_url], settings=SETTINGS, timeout_s=0.5) as client,
    ):
        patient = sonic.Model(f"{server.http_url}/echo", settings=SETTINGS, timeout_s=WAIT_S)
        model = client.model("echo")
        _ = model.spec
        shared(patient)
        while not use_of(client).requests:
            with suppress(DeadlineExceeded):  # the machine may be busy
                model(x=X)
            assert lender_of(client).settle(WAIT_S)
        ours = {path.name for path in FOLDER.glob(f"sonic-{os.getpid()}-*")}
        os.kill(server.pid, signal.SIGSTOP)
        while psutil.Process(server.pid).status() != psutil.STATUS_STOPPED:
            pass
        try:
            with pytest.raises((DeadlineExceeded, Unavailable)):  # whichever is noticed first
                model(x=np.zeros_like(X))
            left = {path.name for path in FOLDER.glob(f"sonic-{os.getpid()}-*")}
            assert ours - left, "what the server may be reading from is taken out of use"
        finally:
            os.kill(server.pid, signal.SIGCONT)
        shared(patient)
        patient.close()


@pytest.mark.parametrize("by", ["server", "next client"])
def test_what_a_client_that_is_killed_leaves_is_removed(server: Server, by: str) -> None:
    code = f"""
import numpy as np, sonic
from sonic.client.settings import ClientSettings
model = sonic.Model("{server.grpc_url}/echo", settings=ClientSettings(shared_memory_min_bytes=1000))
x = np.ones((500, 40), np.float32)
model(x=x)
while not model._client.servers()[0].memory.requests:
    model(x=x)
print("ready", flush=True)
input()
"""
    client = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        names = {region.name for region in server.dataplane.memory.status() if f"-{client.pid}-" in region.name}
        assert names
        assert server.dataplane.memory.forget_abandoned() == ()
        client.send_signal(signal.SIGKILL)
        client.wait(WAIT_S)
        assert all((FOLDER / name).exists() for name in names)
        if by == "server":
            assert set(server.dataplane.memory.forget_abandoned()) == names
        else:
            with sonic.Model(f"{server.http_url}/echo", settings=SETTINGS) as model:
                shared(model)
                assert not names & {region.name for region in server.dataplane.memory.status()}
        assert not any((FOLDER / name).exists() for name in names)
    finally:
        client.kill()
        client.communicate()
    assert sweep() == ()
