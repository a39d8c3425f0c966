"""Requests/s of the load generator at a server that does nothing but answer, over those of h2load, and its CPU.

One process of each on one core, the server on another, 16 clients that send 64 bytes and wait for as many. The server
takes longer for a request than either, so that the rates are near its limit, and the ratio of the processor times says
more. h2load is written in C, and looks at nothing of an answer but its status. Beside both, a whole client: Sonic's own
transport, as it is used with TLS or shared memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.server import h2load
from benchmarks.server.wire import Request
from common import Figure, pinned
from sonic.client.url import parse_server
from sonic.protocol import grpc_codec, http_codec
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.study.load.clients import Clients
from sonic.study.load.crew import Crew
from sonic.study.load.inputs import RandomInputs
from sonic.study.load.settings import LoadSettings
from sonic.study.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

CLIENTS = 16
WARMUP_S, SPELL_S = 0.5, 3.0
GOAL = 0.7
_SPEC = ModelSpec("echo", "1", (TensorSpec("x", DType.FP32, (-1, 16)),), (), 64)


@dataclass(frozen=True)
class Rate:
    """Requests a second, and processor time of a request in microseconds."""

    per_s: float
    cpu_us: float


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratios for HTTP/1.1 and gRPC."""
    try:
        h2load.find()
    except h2load.MissingToolError as error:
        console.print(f"without its peer there is no ratio: {error}")
        return
    for kind in ("http", "grpc"):
        pairs, whole = [], []
        for _ in range(repeats):
            with _null_server(kind) as port:
                ours, theirs = _ours(kind, port), _theirs(kind, port)
                client = _ours(kind, port, whole=True)
            pairs.append((ours, theirs))
            whole.append((ours, client))
            told = {"ours": ours, "h2load": theirs, "a whole client": client}
            words = [f"{name} {rate.per_s:,.0f}/s at {rate.cpu_us:.1f} us" for name, rate in told.items()]
            console.print(f"{kind}: {', '.join(words)}")
        yield Figure.of(f"{kind}: requests/s, ours / h2load", [a.per_s / b.per_s for a, b in pairs], goal=GOAL)
        yield Figure.of(f"{kind}: CPU of a request, ours / h2load", [a.cpu_us / b.cpu_us for a, b in pairs])
        yield Figure.of(f"{kind}: CPU of a request, ours / a whole client", [a.cpu_us / b.cpu_us for a, b in whole])


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


@contextmanager
def _null_server(kind: str) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.null_server", kind]
    with pinned([_cores()[1]]):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def _ours(kind: str, port: int, *, whole: bool = False) -> Rate:
    # Shared memory, which a request of this size is too small for, has them go through a transport.
    settings = LoadSettings(clients=CLIENTS, shared_memory=whole)
    address = parse_server(f"{kind}://127.0.0.1:{port}")
    total = Tally()
    with pinned([_cores()[0]]), Crew([Clients(address, _SPEC, RandomInputs(), settings)]) as crew:
        slices = crew.slices(WARMUP_S)
        next(slices)
        for _ in range(round(SPELL_S / WARMUP_S)):
            total.then(next(slices))
    if total.errors:
        raise RuntimeError(f"{total.errors} requests failed, the first: {total.error}")
    return Rate(total.rate, 1e6 * total.cpu_s / total.requests)


def _theirs(kind: str, port: int) -> Rate:
    request = next(RandomInputs().requests(_SPEC, 0))
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        if kind == "http":
            content, length = http_codec.request_to_wire(request)
            headers = {"content-type": "application/octet-stream", http_codec.HEADER_LENGTH: str(length)}
            url = f"http://127.0.0.1:{port}/v2/models/echo/infer"
        else:
            message = grpc_codec.request_to_wire(request)
            content = b"\0" + len(message).to_bytes(4, "big") + message
            headers = {"content-type": "application/grpc", "te": "trailers"}
            url = f"http://127.0.0.1:{port}/inference.GRPCInferenceService/ModelInfer"
        body.write_bytes(content)
        load = h2load.run(Request(url, kind == "http", body, headers), CLIENTS, SPELL_S, [_cores()[0]])
    if load.failed:
        raise RuntimeError(f"{load.failed} of h2load's requests failed")
    return Rate(load.done / load.elapsed_s, 1e6 * load.cpu_s / load.done)
