"""The server that is put to the test: a real `sonic serve`, and what the system says of its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common import pinned
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence

_POOLS = 40  # more threads than any pool of the server's has
_PENDING = "nv_inference_pending_request_count"


@dataclass(frozen=True)
class Figures:
    """What a process holds.

    Attributes
    ----------
    rss_mib : float
    threads, files : int
        Threads, and open file descriptors.
    shared : int
        Mappings of shared memory.
    """

    rss_mib: float
    threads: int
    files: int
    shared: int


class Serve:
    """`sonic serve` in explicit mode on free ports. Context manager: it is killed at the end if it still runs.

    Parameters
    ----------
    repositories : sequence of Path
    models : sequence of str
        To load at the start.
    *options : str
        Further ones of the command line.
    cores : sequence of int, optional
        Those that it may use.

    Raises
    ------
    RuntimeError
        If it does not come up, with what it printed.
    """

    def __init__(
        self, repositories: Sequence[Path], models: Sequence[str], *options: str, cores: Sequence[int] = ()
    ) -> None:
        self._models = models
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        with tempfile.TemporaryDirectory(prefix="sonic-soak-") as folder:
            ports = Path(folder) / "ports.json"
            command = [sys.executable, "-m", "sonic", "serve", *map(str, repositories), "--watch-stdin"]
            command += ["--model-control", "explicit", "--ports-file", str(ports), *options]
            for kind in ("grpc", "http", "metrics"):
                command += [f"--{kind}-port", "0"]
            for model in models:
                command += ["--model", model]
            with pinned(cores or sorted(os.sched_getaffinity(0))):
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT
                )
            try:
                self._wait_for(ports)
            except BaseException:
                self.close()
                raise
            numbers = json.loads(ports.read_text())
        self.ports: dict[str, int] = numbers
        self.grpc = f"127.0.0.1:{numbers['grpc']}"
        self.http = f"http://127.0.0.1:{numbers['http']}"
        self._metrics = f"http://127.0.0.1:{numbers['metrics']}/metrics"
        self._proc = psutil.Process(self.process.pid)

    def _wait_for(self, ports: Path, timeout_s: float = 120.0) -> None:
        until_s = time.monotonic() + timeout_s
        while not ports.exists():
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"sonic serve did not come up:\n{self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        """Return what it printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def figures(self) -> Figures:
        """Read what its process holds now."""
        with self._proc.oneshot():
            shared = sum(entry.path.startswith("/dev/shm/") for entry in self._proc.memory_maps(grouped=False))
            rss_mib = self._proc.memory_info().rss / 2**20
            return Figures(rss_mib, self._proc.num_threads(), self._proc.num_fds(), shared)

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds."""
        times = self._proc.cpu_times()
        return float(times.user + times.system)

    def settled(self, timeout_s: float = 20.0) -> Figures:
        """Wait until its connections have ended, load every model anew, and read.

        A model's memory grows with its largest batch, which is none of what a server should have lost by then.
        """
        until_s = time.monotonic() + timeout_s
        before, same = self.figures(), 0
        while same < 4 and time.monotonic() < until_s:
            time.sleep(0.3)
            now = self.figures()
            same = same + 1 if (now.threads, now.files) == (before.threads, before.files) else 0
            before = now
        # One load is done at a time: those that wait fill the server's pools of threads, which else grow now and then.
        with ThreadPoolExecutor(_POOLS) as pool:
            list(pool.map(self._load_over_http, [self._models[-1]] * _POOLS))
            list(pool.map(self._load, [self._models[-1]] * _POOLS))
        for model in self._models:
            self._load(model)
        time.sleep(0.5)
        return self.figures()

    def _load(self, model: str) -> None:
        request = pb.RepositoryModelLoadRequest(model_name=model)
        request.parameters["config"].string_param = self.config(model)
        with self.control() as stub:
            stub.RepositoryModelLoad(request, timeout=60)

    def _load_over_http(self, model: str) -> None:
        url = f"{self.http}/v2/repository/models/{model}/load"
        asked = {"parameters": {"config": self.config(model)}}
        httpx.post(url, json=asked, timeout=60, trust_env=False).raise_for_status()

    def config(self, model: str) -> str:
        """Return a loaded model's configuration, as JSON: a model that is asked for with one is loaded anew."""
        url = f"{self.http}/v2/models/{model}/config"
        return httpx.get(url, timeout=60, trust_env=False).raise_for_status().text

    def control(self) -> Control:
        """Return a way to ask it for what is not inference, over gRPC."""
        return Control(self.grpc)

    def pending(self, model: str) -> int:
        """Return how many requests wait for a model, as its metrics say."""
        families = text_string_to_metric_families(httpx.get(self._metrics, timeout=10).text)
        return sum(
            int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == _PENDING and sample.labels.get("model") == model
        )

    def close(self) -> None:
        """Kill it if it still runs, and forget its log."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Control:
    """A stub of the service with a channel of its own. Context manager that gives the stub."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),))

    def __enter__(self) -> GRPCInferenceServiceStub:
        return GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __exit__(self, *_: object) -> None:
        self._channel.close()
