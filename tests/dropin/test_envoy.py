"""Envoy before two servers, configured as docs/howto/facility.md says; skipped where there is no Envoy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.grpc as triton

import sonic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.server.app import Server

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "facility.md"
WAIT_S = 60.0


class Envoy:
    """A process that is ready, at a port of its own, and what it knows of the servers."""

    def __init__(self, binary: str, servers: tuple[Server, Server], folder: Path) -> None:
        found = re.search(r'```yaml title="envoy.yaml"\n(.*?)```', PAGE.read_text(), re.DOTALL)
        assert found is not None
        text = found[1].replace("address: 0.0.0.0, port_value: 8001", "address: 127.0.0.1, port_value: 0")
        for name, server in zip(("gpu01", "gpu02"), servers, strict=True):
            text = text.replace(
                f"address: {name}, port_value: 8001", f"address: 127.0.0.1, port_value: {server.grpc_port}"
            )
        (folder / "envoy.yaml").write_text(
            f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\n{text}"
        )
        where = folder / "admin"
        command = [binary, "-c", folder / "envoy.yaml", "--admin-address-path", where, "--concurrency", "1"]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen([*command, "--use-dynamic-base-id"], stdout=log, stderr=log)
        self.until(lambda: where.exists() and bool(where.read_text()), folder)
        self._admin = f"http://{where.read_text()}"
        self.until(lambda: self.healthy() == 2, folder)
        listeners = json.loads(self._asked("listeners?format=json"))["listener_statuses"]
        self.port = listeners[0]["local_address"]["socket_address"]["port_value"]

    def healthy(self) -> int:
        """How many servers it sends requests to."""
        found = re.search(r"^cluster\.sonic\.membership_healthy: (\d+)$", self._asked("stats"), re.MULTILINE)
        return 0 if found is None else int(found[1])

    def until(self, happened: Callable[[], bool], folder: Path | None = None) -> None:
        end_s = time.monotonic() + WAIT_S
        while True:
            with suppress(OSError):
                if happened():
                    return
            said = "" if folder is None else (folder / "log").read_text()
            assert self.process.poll() is None, said
            assert time.monotonic() < end_s, said
            threading.Event().wait(0.02)

    def _asked(self, what: str) -> str:
        with urllib.request.urlopen(f"{self._admin}/{what}", timeout=WAIT_S) as answer:
            text: str = answer.read().decode()
            return text


@pytest.fixture
def servers(examples: Path) -> Iterator[tuple[Server, Server]]:
    with sonic.serve(examples, cores=1) as first, sonic.serve(examples, cores=1) as second:
        yield first, second


@pytest.fixture
def envoy(servers: tuple[Server, Server], tmp_path: Path) -> Iterator[Envoy]:
    binary = shutil.which("envoy")
    if binary is None:
        pytest.skip("there is no envoy")
    made = Envoy(binary, servers, tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(WAIT_S)


def given(size: int, value: float) -> list[Any]:
    tensor = triton.InferInput("INPUT0", [1, size], "FP32")
    tensor.set_data_from_numpy(np.full((1, size), value, np.float32))
    return [tensor]


@pytest.mark.parametrize("size", [1, 10_000, 2_000_000])
def test_calls_and_streams_of_any_length(envoy: Envoy, size: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{envoy.port}") as client:
        assert client.is_server_ready()
        answers: SimpleQueue[Any] = SimpleQueue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        for value in range(10):
            result = client.infer("classes", given(size, value))
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), np.full((1, size), value))
            client.async_stream_infer("classes", given(size, value))
        for value in range(10):
            result, error = answers.get(timeout=WAIT_S)
            assert error is None
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), np.full((1, size), value))
        client.stop_stream()


def test_errors_pass_as_they_are(envoy: Envoy) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{envoy.port}") as client:
        with pytest.raises(triton.InferenceServerException, match=r"NOT_FOUND.*unknown model: 'none'"):
            client.infer("none", given(1, 0))
        with pytest.raises(triton.InferenceServerException, match=r"INVALID_ARGUMENT.*batch-size must be <= 8"):
            client.infer(
                "classes", [triton.InferInput("INPUT0", [9, 0], "FP32").set_data_from_numpy(np.empty((9, 0), "f4"))]
            )


def count(server: Server) -> int:
    return server.dataplane.statistics("classes")[0].success.count


def test_a_server_that_gives_notice_is_missed_by_nobody(envoy: Envoy, servers: tuple[Server, Server]) -> None:
    over = threading.Event()
    ended: list[bool] = []
    errors: list[Exception] = []

    def call() -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{envoy.port}") as client:
            while not over.is_set():
                try:
                    client.infer("classes", given(100, 1.0))
                except triton.InferenceServerException as error:
                    errors.append(error)
            ended.append(True)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        servers[0].retire()
        envoy.until(lambda: envoy.healthy() == 1)
        counts = [count(server) for server in servers]
        while True:  # what its threads were doing when they heard of it
            envoy.until(lambda seen=counts[1]: count(servers[1]) > seen + 100)  # type: ignore[misc]
            counts, before = [count(server) for server in servers], counts
            if counts[0] == before[0]:
                break
        assert servers[0].close()
        envoy.until(lambda: count(servers[1]) > counts[1] + 100)
    finally:
        over.set()
        for caller in callers:
            caller.join(WAIT_S)
    assert [str(error) for error in errors] == []
    assert ended == 4 * [True]
