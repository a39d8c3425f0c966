"""Fuzz a live server, in a process of its own, over HTTP and gRPC and with bytes that are neither."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.faults import FaultError, expect
from fuzz.judge import MAX_MESSAGE_BYTES, MODELS, REGION, Judge, write_models
from fuzz.wires import http2_seeds, http_head_seeds
from sonic.server.app import serve
from sonic.testing import hostile

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from hypothesis.strategies import SearchStrategy

_BATCH = 200  # examples between two looks at the clock
_GROWTH_BYTES = 200 << 20
_START_S = 60.0


class Victim:
    """A server in a process of its own. Context manager.

    Attributes
    ----------
    http_port, grpc_port : int
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sonic-fuzz-")
        command = [sys.executable, "-m", "fuzz.live", self._folder.name]
        with Path(self._folder.name, "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        line = self._process.stdout.readline() if self._process.stdout else b""
        expect(line, f"the server did not start: {self.log()}")
        self.http_port, self.grpc_port = json.loads(line)

    def log(self) -> str:
        """End of what it has logged."""
        return Path(self._folder.name, "log").read_text(errors="replace")[-5000:]

    @property
    def memory_bytes(self) -> int:
        """What it keeps of memory."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            raise FaultError("the server is gone") from None

    def check(self) -> None:
        """Insist on its being alive, and on its having met nothing that it cannot explain."""
        expect(self._process.poll() is None, f"the server has ended with status {self._process.poll()}: {self.log()}")
        expect("Traceback" not in self.log(), f"the server has met what it does not know: {self.log()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=_START_S)  # which ends its standard input
        self._folder.cleanup()


def fuzz(name: str, seconds: float) -> int:
    """Send what is drawn for so long, and return how much that was.

    Raises
    ------
    AssertionError
        If the server answers with a fault of its own, ends, grows, or fails on a good request.
    """
    with Victim() as victim, Judge(victim.http_port, victim.grpc_port) as judge:
        drawn, send = _TARGETS[name](victim, judge)
        judge.good()
        count, before, end = 0, 0, time.monotonic() + seconds
        while time.monotonic() < end:
            _some(count, drawn, send)
            count += _BATCH
            judge.good()
            victim.check()
            before = before or victim.memory_bytes
        grown = victim.memory_bytes - before
        expect(grown < _GROWTH_BYTES, f"the server has grown by {grown >> 20} MiB")
    return count


def _some(number: int, drawn: SearchStrategy[Any], send: Callable[[Any], object]) -> None:
    phases = (Phase.generate, Phase.shrink)
    batch = settings(
        max_examples=_BATCH, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    seed(time.time_ns() + number)(batch(given(drawn)(send)))()


def _over_http(_: Victim, judge: Judge) -> tuple[SearchStrategy[Any], Callable[[Any], object]]:
    def over_http(exchange: hostile.Exchange) -> None:
        judge.exchange(exchange)

    return hostile.exchanges(MODELS, (REGION,)), over_http


def _over_grpc(_: Victim, judge: Judge) -> tuple[SearchStrategy[Any], Callable[[Any], object]]:
    def over_grpc(call: hostile.Call) -> None:
        judge.call(call)

    return hostile.calls(MODELS, (REGION,)), over_grpc


def _in_streams(_: Victim, judge: Judge) -> tuple[SearchStrategy[Any], Callable[[Any], object]]:
    def in_streams(calls: list[hostile.Call]) -> None:
        judge.stream([call.request for call in calls])

    return st.lists(hostile.infer_calls(MODELS, (REGION,)), max_size=8), in_streams


def _bytes(victim: Victim, judge: Judge) -> tuple[SearchStrategy[Any], Callable[[Any], object]]:
    def as_bytes(given: tuple[int, bytes]) -> None:
        judge.raw(given[1], given[0])

    http = st.sampled_from([head + b"{}" * 6 for head in http_head_seeds()]).flatmap(hostile.damaged)
    http2 = st.sampled_from([talk[1:] for talk in http2_seeds()]).flatmap(hostile.damaged)
    ports = st.sampled_from((victim.http_port, victim.grpc_port))
    return st.tuples(ports, http | http2), as_bytes


_TARGETS = {"live-http": _over_http, "live-grpc": _over_grpc, "live-streams": _in_streams, "live-bytes": _bytes}
NAMES = tuple(_TARGETS)


def _serve(folder: Path) -> None:
    """Be the server, until standard input ends."""
    write_models(folder / "models")
    options: dict[str, Any] = {"explicit": True, "models": ["*"], "cores": 1, "trace_file": folder / "traces"}
    with serve(folder / "models", max_message_bytes=MAX_MESSAGE_BYTES, **options) as server:
        sys.stdout.write(f"{json.dumps([server.http_port, server.grpc_port])}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
