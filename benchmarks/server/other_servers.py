"""Other servers, each in an environment of its own: they do not install together."""

from __future__ import annotations

import json
import random
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks.server.processes import Target, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.server.cases import Case

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build" / "peers"
_PORTS = range(20_000, 32_000)
_SCRIPTS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Peer:
    """Another server.

    Parameters
    ----------
    name : str
        In the report.
    package : str
        What is installed, and the name of its environment.
    script : str
        That its environment runs.
    ready : str
        Path that answers with 200 once it serves a model, whose name stands for ``{}``.
    grpc, http, shm : bool
        What it speaks.
    batches : bool
        Whether it merges requests the way the cases with dynamic batching mean.
    """

    name: str
    package: str
    script: str
    ready: str = "/v2/models/{}/ready"
    grpc: bool = True
    http: bool = True
    shm: bool = False
    batches: bool = False

    @property
    def python(self) -> Path:
        """Interpreter of its environment."""
        return ENVIRONMENTS / self.package / "bin" / "python"

    @property
    def installed(self) -> bool:
        """Whether ``make bench-peers`` has been run."""
        return self.python.exists()


PEERS = {
    peer.name: peer
    for peer in (
        Peer("triton", "nvidia-pytriton", "serve_triton_onnxruntime.py", shm=True, batches=True),
        Peer("triton-python", "nvidia-pytriton", "serve_triton_python.py", shm=True, batches=True),
        Peer("kserve", "kserve", "serve_kserve.py"),
        Peer("litserve", "litserve", "serve_litserve.py", ready="/health", grpc=False),
        Peer("uvicorn", "uvicorn", "serve_uvicorn.py", grpc=False),
        Peer("mlserver", "mlserver", "serve_mlserver.py", http=False),
    )
}


@contextmanager
def peer_server(
    peer: Peer, cases: Sequence[Case], models: Mapping[str, Path], cores: Sequence[int], folder: Path
) -> Iterator[Target]:
    """Run a peer on some cores.

    Parameters
    ----------
    peer : Peer
    cases : sequence of Case
        Whose models it serves.
    models : mapping of str to path
        ONNX file of each case.
    cores : sequence of int
        That it may use.
    folder : path
        For its log and what it is told.

    Raises
    ------
    RuntimeError
        If it does not come up, with the end of what it printed.
    """
    told, log = folder / f"{peer.name}.json", folder / f"{peer.name}.log"
    told.write_text(
        json.dumps(
            [
                {
                    "name": case.name,
                    "path": str(models[case.name]),
                    "max_batch_size": case.max_batch_size,
                    "batching": case.batching,
                }
                for case in cases
            ]
        )
    )
    http, grpc = _free_ports(2)
    command = [peer.python, _SCRIPTS / peer.script, told, http, grpc]
    with running([str(word) for word in command], cores, log) as process:
        urls = [f"http://127.0.0.1:{http}{peer.ready.format(case.name)}" for case in cases]
        wait_until(lambda: all(map(_answers, urls)), peer.name, process, log)
        yield Target(
            peer.name,
            process.pid,
            grpc=f"127.0.0.1:{grpc}" if peer.grpc else "",
            http=f"127.0.0.1:{http}" if peer.http else "",
            shm=peer.shm,
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5.0).is_success
    except httpx.HTTPError:
        return False


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on: these servers cannot choose their own.

    They are not of those that connections of clients get, which may be taken again at any moment.
    """
    free: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:  # taken
            continue
        free.append(port)
        if len(free) == count:
            return free
    raise RuntimeError(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop}")
