"""Throughput and latency that a simulation predicts, beside those measured on this machine, for 1 to 64 clients.

A model whose executions are so many products of matrices, and networks, are served and put under load. What a request
costs is taken from the point of one client and from those at which the server is busy. The figures are the largest
deviations over all points, of which the goal is 10 %.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from msgspec import structs

from common import Figure, calls_per_s, pinned
from sonic.client.fallback import ServeProcess
from sonic.protocol.modelconfig import write
from sonic.protocol.modelfolder import CONFIG_NAME, read_config
from sonic.study.load.measure import measure as measure_load
from sonic.study.load.settings import LoadSettings
from sonic.study.simulation.run import beside_measured, like, replaced, simulate
from sonic.workloads import MODELS, zoo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from sonic.study.records import Record, Setting

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
GOAL = 0.10
WINDOW_S = 1.0
SPEED_S = 0.2
_CORES = os.sched_getaffinity(0)

_BUSY_CONFIG = """
    backend: "python"
    max_batch_size: {batch}
    input {{ name: "x" data_type: TYPE_FP32 dims: [ 16 ] }}
    output {{ name: "y" data_type: TYPE_FP32 dims: [ 16 ] }}
    instance_group {{ count: {instances} }}
    {batching}
"""
_BUSY_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

MATRIX = np.random.default_rng(0).normal(size=(256, 256))


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        for _ in range(6 + sum(len(x) for x in inputs)):  # outside of the interpreter's lock
            MATRIX @ MATRIX
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in inputs]
"""


@dataclass(frozen=True)
class Case:
    """A model as it is served.

    Parameters
    ----------
    model : str
    instances : int
    rows : int
        Of a request.
    batch : int
        Rows of an execution at most; 0: requests go alone.
    delay_us : int
        That a request waits for company.
    """

    model: str
    instances: int = 1
    rows: int = 1
    batch: int = 0
    delay_us: int = 0

    def __str__(self) -> str:
        batching = f"batches of up to {self.batch}" if self.batch else "no batching"
        if self.delay_us:
            batching += f" after {self.delay_us} us"
        return f"{self.model}, {self.instances} instance{'s' * (self.instances > 1)}, {batching}"


CASES = (
    Case("busy"),
    Case("busy", batch=16),
    Case("busy", instances=2),
    Case("busy", instances=2, batch=16),
    Case("particlenet-ak4", rows=10),
    Case("particlenet-ak4", rows=10, batch=500),
    Case("particlenet-ak4", rows=10, instances=2),
    Case("facile-v5", batch=32_000),  # which takes microseconds: the server's event loop executes it
    Case("facile-v5", batch=32_000, delay_us=100),
)


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the largest deviation of each case."""
    for case in CASES:
        records = _measured(case, repeats, console)
        simulated = [
            simulate(replaced(spec, repeats=1), settings) for settings, spec in like(records, {"clients": CLIENTS})
        ]
        worst: dict[str, float] = {}
        for each in beside_measured(simulated, records):
            console.print(
                f"  {each.at}: {each.what} {each.there:.4g}, simulated {each.here:.4g}, {each.deviation:+.1%}"
            )
            worst[each.what] = max(worst.get(each.what, 0.0), abs(each.deviation))
        for what, deviation in worst.items():
            yield Figure(f"{case}: {what}", deviation, deviation, deviation, GOAL, at_most=True)


def _measured(case: Case, repeats: int, console: Console) -> list[Record]:
    """Return a record for each number of clients: of its repeats the one at which the machine was as it usually is.

    A machine that others share is faster in some minutes than in others. So all numbers have their turn before one is
    repeated, and how fast the machine is by itself is measured before and after each.
    """
    found: dict[int, list[tuple[float, Record]]] = {clients: [] for clients in CLIENTS}
    with _server(case) as server:
        speeds = [_speed()]
        for repeat in range(repeats):
            for clients in CLIENTS if repeat % 2 else CLIENTS[::-1]:
                settings = LoadSettings(clients=clients, processes=1, rows=case.rows, window_s=WINDOW_S, repeats=1)
                record = measure_load(case.model, server.grpc_url, settings, metrics=server.metrics_url)
                if record.throughput is None:
                    raise RuntimeError(f"{case}, {clients} clients: {record.reason}")
                if record.status != "measured":
                    console.print(f"[red]{case}, {clients} clients: {record.status}, {record.reason}[/red]")
                speeds.append(_speed())
                found[clients].append((sum(speeds[-2:]) / 2, record))
    usual = median(speeds)
    console.print(
        f"{case}; the machine's own speed was {min(speeds) / usual:.2f} to {max(speeds) / usual:.2f} of usual"
    )
    own: dict[str, Setting] = {"instances": case.instances, "batch": case.batch, "delay_us": case.delay_us}
    chosen = [min(pairs, key=lambda pair: abs(pair[0] - usual)) for pairs in found.values()]
    return [structs.replace(each, status="measured", settings=each.settings | own) for _, each in chosen]


def _speed() -> float:
    """Return how many executions of ParticleNet a second the first core does by itself."""
    session, inputs = _alone()
    with pinned(sorted(_CORES)[:1]):
        return calls_per_s(lambda: session.run(None, inputs), SPEED_S)


@cache
def _alone() -> tuple[ort.InferenceSession, dict[str, np.ndarray]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(MODELS / "particlenet-ak4" / "1" / "model.onnx", options)
    random = np.random.default_rng(0)
    shapes = {each.name: (10, *each.shape[1:]) for each in session.get_inputs()}
    return session, {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@contextmanager
def _server(case: Case) -> Iterator[ServeProcess]:
    with tempfile.TemporaryDirectory(prefix="sonic-bench-") as name:
        folder = Path(name)
        if case.model == "busy":
            (folder / "busy" / "1").mkdir(parents=True)
            (folder / "busy" / "1" / "model.py").write_text(_BUSY_MODEL)
            batching = "dynamic_batching {}" if case.batch else ""
            text = _BUSY_CONFIG.format(batch=case.batch or 1, instances=case.instances, batching=batching)
            (folder / "busy" / CONFIG_NAME).write_text(text)
        else:
            model = zoo.build(case.model, folder)
            config = read_config(model)
            config.instance_group.add(count=case.instances)
            config.ClearField("dynamic_batching")
            if case.batch:
                config.dynamic_batching.max_queue_delay_microseconds = case.delay_us
            (model / CONFIG_NAME).write_text(write(config))
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the matrices' products: an execution is one thread
        cores = sorted(_CORES)
        # Where both have all cores, Linux has two threads that want to run on one at times and on two at others, which
        # are machines of different speed. So each has its own, if there are enough.
        apart = len(cores) > case.instances
        with pinned(cores[: case.instances] if apart else cores):
            server = ServeProcess([folder])
        try:
            with pinned(cores[case.instances :] if apart else cores):
                yield server
        finally:
            server.close(drain_s=0)
