"""`make faults`: a job whose servers are killed, one every second, beside the same job left in peace.

Three `sonic serve` processes serve one small model, and the job has it as a fallback, too. Every second one of the
servers that are up gets SIGKILL, and is started again on the same port. The outputs must be the same to the bit, every
event must be there once, and each request must have ended exactly once. Exit status 1 if a mark is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import onnx
import uproot
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

import sonic
from benchmarks.soak.marks import Mark, Part
from sonic.errors import InferenceError, Unavailable
from sonic.framework import Offload, Workflow
from sonic.testing.compare import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.client.pool import ServerState
    from sonic.framework import Report
    from sonic.protocol.messages import ModelStatistics
    from sonic.specs import ModelSpec

    Progress = Callable[[int, int], None]

SERVERS = 3
EVENTS_A_CHUNK = 5
WIDTH = 8
TIMEOUT_S = 60.0


class Score(Offload):
    """Asks the small model about each event."""

    model = "score"
    consumes = ("x",)
    produces = ("y",)

    def acquire(self, events: Any) -> dict[str, np.ndarray]:
        """One row an event."""
        return {"x": np.asarray(events.x)}

    def produce(self, _: Any, outputs: Any) -> dict[str, np.ndarray]:
        """One number an event."""
        return {"y": outputs["y"][:, 0]}


class Served:
    """A `sonic serve` process that can be killed and started again on the same ports.

    Parameters
    ----------
    models : Path
        The repository.
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._folder = tempfile.TemporaryDirectory(prefix="sonic-faults-")
        self._ports = Path(self._folder.name) / "ports.json"
        self._numbers = {"grpc": 0, "http": 0}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.start()

    def start(self) -> None:
        """Start it, on the ports that it had."""
        self._ports.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sonic", "serve", str(self._models), "--watch-stdin", "--no-metrics"]
        command += ["--ports-file", str(self._ports), "--cores", "1"]
        for kind, port in self._numbers.items():
            command += [f"--{kind}-port", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)

    @property
    def up(self) -> bool:
        """Whether it has said that it is ready."""
        return self._ports.exists() and self._process.poll() is None

    def url(self) -> str:
        """Wait until it is ready, and return its URL.

        Raises
        ------
        Unavailable
            If it does not come up.
        """
        until_s = time.monotonic() + TIMEOUT_S
        while not self.up:
            if self._process.poll() is not None or time.monotonic() > until_s:
                size = os.fstat(self._log.fileno()).st_size
                raise Unavailable(f"no server: {os.pread(self._log.fileno(), size, 0).decode(errors='replace')}")
            time.sleep(0.02)
        found = json.loads(self._ports.read_text())
        self._numbers = {kind: found[kind] for kind in self._numbers}
        return f"grpc://127.0.0.1:{self._numbers['grpc']}"

    def kill(self) -> None:
        """Send SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._ports.unlink(missing_ok=True)

    def close(self) -> None:
        """Kill it for good."""
        self.kill()
        self._log.close()
        self._folder.cleanup()


class Hazard:
    """Kills servers that are up, one after another, and starts each again."""

    def __init__(self, servers: Sequence[Served]) -> None:
        self._servers = servers
        self._next = 0
        self.kills = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def strike(self) -> None:
        """Kill the next one that is up, if there is one, and start it again."""
        for offset in range(len(self._servers)):
            server = self._servers[(self._next + offset) % len(self._servers)]
            if server.up:
                self._next += offset + 1
                server.kill()
                self.kills += 1
                server.start()
                return

    def every(self, seconds: float) -> Self:
        """Strike so often, until the end of the `with` block."""

        def strike() -> None:
            while not self._over.wait(seconds):
                self.strike()

        self._thread = threading.Thread(target=strike, name="hazard")
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()


class Counting:
    """A client that counts how its requests end."""

    def __init__(self, client: sonic.Client) -> None:
        self._client = client
        self.sent = 0
        self.ended: Counter[str] = Counter()
        self.times: Counter[int] = Counter()
        self._lock = threading.Lock()

    def model(self, *which: Any) -> CountedModel:
        """Return a model whose requests are counted."""
        return CountedModel(self, self._client.model(*which))

    def count(self, future: Future[Any]) -> None:
        """Count a request, and its end."""
        with self._lock:
            number = self.sent
            self.sent += 1

        def ended(future: Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            how = "given up" if future.cancelled() else "answered" if error is None else type(error).__name__
            with self._lock:
                self.ended[how] += 1
                self.times[number] += 1

        future.add_done_callback(ended)


class CountedModel:
    """A model of such a client."""

    def __init__(self, counts: Counting, model: sonic.Model) -> None:
        self._counts = counts
        self._model = model

    @property
    def spec(self) -> ModelSpec:
        """Inputs and outputs."""
        return self._model.spec

    def submit(self, **arrays: np.ndarray) -> Future[dict[str, np.ndarray]]:
        """Send a request."""
        future = self._model.submit(**arrays)
        self._counts.count(future)
        return future

    def statistics(self) -> ModelStatistics:
        """Counters of the model."""
        return self._model.statistics()


class Ran(NamedTuple):
    """A job that has ended: its report, its requests, how each server fared, and what the fallback answered."""

    report: Report
    counts: Counting
    servers: tuple[ServerState, ...]
    by_fallback: int


def write(folder: Path, chunks: int) -> tuple[Path, Path]:
    """Write the events and the model; returns the file and the repository."""
    rng = np.random.default_rng(1)
    events = folder / "events.root"
    count = chunks * EVENTS_A_CHUNK
    with uproot.recreate(events) as file:
        columns = {"number": np.arange(count), "x": rng.normal(size=(count, WIDTH)).astype(np.float32)}
        file.mktree("Events", {name: (column.dtype, column.shape[1:]) for name, column in columns.items()}).extend(
            columns
        )
    weights = rng.normal(size=(WIDTH, 1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["sum"]), helper.make_node("Sigmoid", ["sum"], ["y"])],
        "score",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(weights, "w")],
    )
    (folder / "models" / "score" / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "models" / "score" / "1" / "model.onnx")
    return events, folder / "models"


def faults(chunks: int, hazard: Callable[[Sequence[Served], int], tuple[Hazard, Progress | None]]) -> Part:
    """Run the job in peace and under a hazard, and compare.

    Parameters
    ----------
    chunks : int
    hazard : callable
        Makes the hazard for the servers and the number of events, and what is to be told of the progress.
    """
    with tempfile.TemporaryDirectory(prefix="sonic-faults-") as name:
        folder = Path(name)
        events, models = write(folder, chunks)
        servers: list[Served] = []
        try:
            servers += [Served(models) for _ in range(SERVERS)]
            urls = [server.url() for server in servers]
            calm = _job(events, folder / "calm.root", urls, models, None)
            made, told = hazard(servers, chunks * EVENTS_A_CHUNK)
            with made:
                struck = _job(events, folder / "struck.root", urls, models, told)
        finally:
            for server in servers:
                server.close()
        found = differences(folder / "calm.root", folder / "struck.root")
        with uproot.open(folder / "struck.root") as file:
            numbers = file["Events"]["number"].array(library="np")
    report, counts, states, by_fallback = struck
    by_servers = counts.ended["answered"] - by_fallback
    unequal = int(np.count_nonzero(np.bincount(numbers, minlength=calm.report.events) != 1))
    marks = [
        Mark.at_least("chunks", report.chunks, chunks),
        # A fallback that answers everything would hide servers that nobody asks.
        Mark.none("requests of the undisturbed run that no server answered", calm.by_fallback),
        Mark.at_least("requests that a server answered", by_servers, 1),
        Mark.at_least("servers killed", made.kills, 1),
        Mark.none("branches that differ from the undisturbed run", len(found)),
        Mark.none("events lost or there twice", unequal),
        Mark.none("requests that did not end exactly once", counts.sent - sum(n == 1 for n in counts.times.values())),
        Mark.none("requests that ended in an error", counts.sent - counts.ended["answered"]),
    ]
    details = {
        "wall_s": report.wall_s,
        "undisturbed_wall_s": calm.report.wall_s,
        "kills": made.kills,
        "requests": counts.sent,
        "attempts_that_failed": sum(state.failed for state in states),
        "answered_by_servers": by_servers,
        "answered_by_the_fallback": by_fallback,
        "servers": {state.server: [state.completed, state.failed] for state in states},
    }
    notes = [
        *found,
        f"{report.wall_s:.3g} s, undisturbed {calm.report.wall_s:.3g} s; {counts.sent} requests, of which the servers "
        f"answered {by_servers} and the fallback {by_fallback}; "
        f"{details['attempts_that_failed']} attempts failed",
    ]
    return Part("a job whose servers are killed", marks, notes, details)


def _job(events: Path, output: Path, urls: Sequence[str], models: Path, progress: Progress | None) -> Ran:
    flow = Workflow("faults", (Score(),), ("number", "y"), models)
    with sonic.Client(urls, fallback=models, timeout_s=TIMEOUT_S) as client:
        counts = Counting(client)
        report = sonic.run(
            flow, [events], output, client=counts, threads=2, streams=32, chunk_size=EVENTS_A_CHUNK, progress=progress
        )
        return Ran(report, counts, client.servers(), sum(client.by_fallback().values()))


def main() -> int:
    """Run it; exit status 1 if a mark is missed."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--every-s", type=float, default=1.0, help="seconds between two kills")
    parser.add_argument("--json", type=Path, help="write the summary to this file as well")
    options = parser.parse_args()
    console = Console()
    machine = f"{platform.platform()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"
    console.print(machine)
    try:
        part = faults(options.chunks, lambda servers, _: (Hazard(servers).every(options.every_s), None))
    except InferenceError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    for piece in part.render():
        console.print(piece, markup=not isinstance(piece, str), highlight=False)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **part.to_document()}, indent=2) + "\n")
    return int(not part.reached)


if __name__ == "__main__":
    sys.exit(main())
