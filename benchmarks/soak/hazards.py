"""What befalls a server while it works: models replaced and taken away, connections cut, clients killed."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
import httpx
import numpy as np

from sonic.protocol import grpc_codec, http_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.proto import grpc_service_pb2 as pb

from .models import COME_AND_GO, TAGGER
from .shm import PREFIX
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .server import Serve

_SERVER_PREFACE = bytes(3) + b"\x04" + bytes(5)  # an empty SETTINGS frame of HTTP/2
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_ROOT = Path(__file__).parents[2]


class Hazard:
    """Something that is done again and again in a thread of its own until it is stopped. Context manager.

    Attributes
    ----------
    counts : Counter of str
        What it has done.
    failures : list of str
        What should have worked and did not.
    """

    def __init__(self, name: str, period_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def once(self) -> None:
        """Do it."""
        raise NotImplementedError

    def finish(self) -> None:
        """Tidy up, when all is over."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.finish()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            try:
                self.once()
            except Exception as error:  # noqa: BLE001 - any is a mark that is missed, not the end of the soak
                self.failures.append(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")


class Reloads(Hazard):
    """Models replaced while they are in use, and models that come and go."""

    def __init__(self, server: Serve, random: np.random.Generator, period_s: float = 0.3) -> None:
        super().__init__("soak-reloads", period_s)
        self._server = server
        self._random = random

    def once(self) -> None:
        """Load a model anew, or take one away for a moment."""
        if self._random.random() < 0.4:
            name = str(self._random.choice(COME_AND_GO))
            self._ask("unload", name)
            self._stop.wait(float(self._random.uniform(0, 0.3)))
            self._ask("load", name)
            self.counts["unloaded and loaded"] += 1
        else:
            name = str(self._random.choice(["scale", "shift", "chain", "copy", "words", "faulty", TAGGER]))
            self._ask("load", name, self._server.config(name))
            self.counts["replaced"] += 1

    def _ask(self, what: str, name: str, config: str = "") -> None:
        given = {"config": config} if config else {}
        if self._random.random() < 0.5:
            url = f"{self._server.http}/v2/repository/models/{name}/{what}"
            httpx.post(url, json={"parameters": given}, timeout=60, trust_env=False).raise_for_status()
            return
        with self._server.control() as stub:
            if what == "load":
                request = pb.RepositoryModelLoadRequest(model_name=name)
                for key, value in given.items():
                    request.parameters[key].string_param = value
                stub.RepositoryModelLoad(request, timeout=60)
            else:
                stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=name), timeout=60)


class Cuts(Hazard):
    """Connections that end anywhere within a request, or before its answer."""

    def __init__(self, server: Serve, random: np.random.Generator, period_s: float = 0.05) -> None:
        super().__init__("soak-cuts", period_s)
        self._random = random
        request = InferRequest("scale", {"x": np.arange(60, dtype=np.float32).reshape(4, 15)})
        large = InferRequest("copy", {"x": np.arange(200_000, dtype=np.float32)})
        self._recorded = [
            (server.ports[way], record(each))
            for each in (request, large)
            for way, record in (("grpc", record_grpc), ("http", record_http))
        ]
        self._held: list[socket.socket] = []

    def once(self) -> None:
        """Send a part of a request, and leave."""
        port, whole = self._recorded[self._random.integers(len(self._recorded))]
        part = whole[: self._random.integers(1, len(whole) + 1)]
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        try:
            connection.sendall(part)
        except OSError:  # as the server may, of what is no whole request
            self.counts["cut by the server"] += 1
        self.counts["cut"] += 1
        how = self._random.integers(3)
        if how == 0:  # stays there for a while and says nothing
            self._held.append(connection)
            if len(self._held) > 20:
                self._held.pop(0).close()
            return
        if how == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()

    def finish(self) -> None:
        """Close those that are still held."""
        for connection in self._held:
            connection.close()


class Clients:
    """Client processes, whose tallies are added up.

    Parameters
    ----------
    server : Serve
    jets : Path
        File with what the client's option of that name wants.
    lanes : int
        Of each transport, in each process.
    """

    def __init__(self, server: Serve, jets: Path, lanes: int, *options: str) -> None:
        self._command = [sys.executable, "-m", "benchmarks.soak.client", "--grpc", server.grpc, "--http", server.http]
        self._command += ["--jets", str(jets), "--lanes", str(lanes), *options]
        self._server = server
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in the end
        self._readers: dict[subprocess.Popen[str], threading.Thread] = {}
        self.tally = Tally()

    def start(self) -> subprocess.Popen[str]:
        """Start one."""
        process = subprocess.Popen(
            self._command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._readers[process] = reader
        reader.start()
        return process

    def stop(self, process: subprocess.Popen[str], timeout_s: float = 90.0) -> int:
        """Let one end its requests, and return its exit status."""
        assert process.stdin is not None
        process.stdin.close()
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        self._readers.pop(process).join()
        return status

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill one with whatever it has under way, and let the server forget its shared memory."""
        self._end(process)
        with self._server.control() as stub:
            for name in ("x", "y"):
                region = f"{PREFIX}-{process.pid}-{name}"
                stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name=region), timeout=30)

    def close(self) -> str:
        """Kill those that are left, and return what all of them have written to standard error."""
        for process in list(self._readers):
            self._end(process)
        self._errors.seek(0)
        with self._errors as file:
            return file.read().decode(errors="replace")

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        self._readers.pop(process).join()
        assert process.stdin is not None
        process.stdin.close()

    def counted(self) -> tuple[int, int]:
        """Return how many requests have ended, and how many of them wrongly."""
        with self._lock:
            return self.tally.total, self.tally.wrong

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.endswith("}\n"):  # else it was killed while it wrote
                    with self._lock:
                        self.tally.merge(Tally.from_document(json.loads(line)))


class Kills(Hazard):
    """Clients killed with their requests under way, and others in their place."""

    def __init__(self, clients: Clients, period_s: float = 4.0) -> None:
        super().__init__("soak-kills", period_s)
        self._clients = clients
        self._victim = clients.start()

    def once(self) -> None:
        """Kill one."""
        self._clients.kill(self._victim)
        self.counts["killed"] += 1
        self._victim = self._clients.start()

    def finish(self) -> None:
        """Let the last one live."""
        if status := self._clients.stop(self._victim):
            self.failures.append(f"a client ended with status {status}")


def record_http(request: InferRequest) -> bytes:
    """Return the bytes of a request over HTTP."""
    body, length = http_codec.request_to_wire(request)
    head = f"POST /v2/models/{request.model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{http_codec.HEADER_LENGTH}: {length}\r\n\r\n".encode() + body


def record_grpc(request: InferRequest, quiet_s: float = 0.3) -> bytes:
    """Return the bytes of a connection with one request over gRPC, as grpc writes them."""
    body = grpc_codec.request_to_wire(request)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        options = (("grpc.enable_http_proxy", 0),)
        channel = grpc.insecure_channel(f"127.0.0.1:{listening.getsockname()[1]}", options=options)
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").future(body)
        try:
            listening.settimeout(10)
            connection, _ = listening.accept()
            with connection:
                connection.sendall(_SERVER_PREFACE)
                connection.settimeout(quiet_s)
                return b"".join(iter(lambda: _received(connection), b""))
        finally:
            call.cancel()
            channel.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except TimeoutError:
        return b""


def all_counts(hazards: Sequence[Hazard]) -> dict[str, int]:
    """Add up what hazards have done."""
    return dict(sum((hazard.counts for hazard in hazards), Counter[str]()))


def wait_until(holds: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Look until something holds.

    Raises
    ------
    TimeoutError
        If it does not in time; it says what.
    """
    until_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{what} did not come within {timeout_s:g} s")
        time.sleep(0.01)
