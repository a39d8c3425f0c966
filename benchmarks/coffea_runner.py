"""Events/s of coffea's Runner with `sonic.coffea`, over the same with coffea's own `triton_wrapper`.

The same served models, generated events, processor and cores, one worker; a round trip of 0 and of 60 ms between
worker and server. A call of the wrapper is measured by itself, too. Needs coffea and tritonclient: the extras `coffea`
and `dev`.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from itertools import pairwise
from math import isclose
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import onnx
import uproot
from onnx import TensorProto, helper, numpy_helper

from common import ROOT, Figure
from sonic.client.fallback import ServeProcess
from sonic.coffea import disconnect
from sonic.study.conditions import Conditions, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

ROUND_TRIPS_S = (0.0, 0.060)
GOALS = {0.0: 1.0, 0.060: 2.0}


CALL_ROWS = (40, 2000)
CALLS = 50


class Case(NamedTuple):
    """A network, and how many events in which chunks it is given."""

    name: str
    model: str
    theirs: str
    ours: str
    events: int
    chunk: int


CASES = (
    Case("dense, 1,000 events a chunk", "dense", "DenseByCoffea", "DenseBySonic", 4000, 1000),
    Case("dense, 20 events a chunk", "dense", "DenseByCoffea", "DenseBySonic", 400, 20),
    Case("ParticleNet, 160 events a chunk", "particlenet-ak4", "ParticleNetByCoffea", "ParticleNetBySonic", 480, 160),
)


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each network and round trip."""
    missing = [name for name in ("coffea", "tritonclient") if find_spec(name) is None]
    if missing:
        console.print(f"skipped: {' and '.join(missing)} not installed")
        return
    warnings.filterwarnings("ignore", "Missing cross-reference index")
    ratios: dict[tuple[str, float], list[float]] = {(case.name, rtt): [] for case in CASES for rtt in ROUND_TRIPS_S}
    with tempfile.TemporaryDirectory() as folder:
        models, file = Path(folder) / "models", Path(folder) / "events.root"
        _write_models(models)
        _write_events(file, max(case.events for case in CASES))
        with ServeProcess([models]) as server:
            for rows in CALL_ROWS:
                found = [_call_ratio(server.grpc_url, rows) for _ in range(repeats)]
                yield Figure.of(f"a call of {rows} rows, triton_wrapper's time / Sonic's", found, goal=1.0)
            host, port = server.grpc_url.removeprefix("grpc://").split(":")
            for rtt_s in ROUND_TRIPS_S:
                with Relay(host, int(port), Conditions(round_trip_ms=rtt_s * 1e3)) as line:
                    for case in CASES:
                        for _ in range(repeats):
                            theirs = _events_per_s(case, case.theirs, line.address, file)
                            ours = _events_per_s(case, case.ours, line.address, file)
                            assert isclose(theirs[1], ours[1], rel_tol=1e-4), (theirs, ours)
                            what = f"{case.name}, {rtt_s * 1e3:.0f} ms"
                            console.print(f"{what}: coffea {theirs[0]:.0f}, Sonic {ours[0]:.0f} events/s")
                            ratios[case.name, rtt_s].append(ours[0] / theirs[0])
    for (name, rtt_s), found in ratios.items():
        yield Figure.of(f"Sonic / triton_wrapper, {name}, {rtt_s * 1e3:.0f} ms", found, goal=GOALS[rtt_s])


def _events_per_s(case: Case, wrapper: str, address: str, file: Path) -> tuple[float, float]:
    """Run once over the events; also return the sum of the scores squared."""
    import coffea_processors  # here, since coffea is not always installed
    from coffea.nanoevents import NanoAODSchema
    from coffea.processor import IterativeExecutor, Runner

    tagger = getattr(coffea_processors, wrapper)(f"triton+grpc://{address}/{case.model}/1", {"ssl": False})
    runner = Runner(
        executor=IterativeExecutor(status=False),
        schema=NanoAODSchema,
        chunksize=case.chunk,
        maxchunks=case.events // case.chunk,
    )
    fileset: dict[str, Any] = {"generated": {"files": {str(file): "Events"}}}
    list(runner.preprocess(fileset))  # what the file holds is remembered, and its reading is not measured
    disconnect()  # ours begins without a connection, as theirs does
    begin_s = perf_counter()
    out = runner(fileset, coffea_processors.Tagging(tagger))
    took_s = perf_counter() - begin_s
    assert out["events"] == case.events, out
    return case.events / took_s, out["sum"]


def _call_ratio(url: str, rows: int) -> float:
    """Median time of a call, by turns, each with a wrapper that has just been unpickled, as for a chunk of a Runner."""
    import coffea_processors  # here, since coffea is not always installed

    inputs = {"features": np.random.default_rng(4).random((rows, 16), np.float32)}
    both = (coffea_processors.DenseByCoffea, coffea_processors.DenseBySonic)
    pickled = [pickle.dumps(wrapper(f"triton+{url}/dense/1", {"ssl": False})) for wrapper in both]
    took_s: tuple[list[float], list[float]] = ([], [])
    for _ in range(CALLS):
        for which, seconds in zip(pickled, took_s, strict=True):
            begin_s = perf_counter()
            pickle.loads(which)(["score"], inputs)
            seconds.append(perf_counter() - begin_s)
    return median(took_s[0]) / median(took_s[1])


def _write_models(models: Path) -> None:
    random = np.random.default_rng(1)
    widths = (16, 64, 64, 4)
    nodes, weights, last = [], [], "features"
    for i, (rows, columns) in enumerate(pairwise(widths)):
        weights.append(numpy_helper.from_array(random.normal(0, 0.1, (rows, columns)).astype(np.float32), f"w{i}"))
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]),
            helper.make_node("Tanh", [f"m{i}"], [f"t{i}"]),
        ]
        last = f"t{i}"
    nodes.append(helper.make_node("Softmax", [last], ["score"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [value("features", TensorProto.FLOAT, ["batch", 16])],
        [value("score", TensorProto.FLOAT, ["batch", 4])],
        weights,
    )
    (models / "dense" / "1").mkdir(parents=True)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, models / "dense" / "1" / "model.onnx")
    (models / "dense" / "config.pbtxt").write_text(
        'platform: "onnxruntime_onnx" max_batch_size: 256 dynamic_batching { preferred_batch_size: [ 64 ] }'
    )
    shutil.copytree(ROOT / "src" / "sonic" / "workloads" / "models" / "particlenet-ak4", models / "particlenet-ak4")


def _write_events(file: Path, events: int) -> None:
    random = np.random.default_rng(2)
    counts = random.poisson(3, events)
    total = int(counts.sum())
    fields = {"pt": random.exponential(40, total), "eta": random.normal(0, 1.5, total)}
    fields |= {"phi": random.uniform(-3, 3, total), "mass": random.exponential(5, total)}
    fields |= {f"f{i}": random.normal(size=total) for i in range(12)}
    jets = ak.zip({name: ak.unflatten(values.astype(np.float32), counts) for name, values in fields.items()})
    numbers = {name: np.arange(events) for name in ("run", "luminosityBlock", "event")}
    record = ", ".join(f"{name}: float32" for name in fields)
    with uproot.recreate(file) as out:
        tree = out.mktree("Events", {"Jet": f"var * {{{record}}}", **dict.fromkeys(numbers, "int64")})
        tree.extend({"Jet": jets, **numbers})
