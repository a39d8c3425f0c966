"""In coffea's processors, with each of its executors."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.client.conversion import AwkwardModel, Conversion, Rows
from sonic.coffea import TritonWrapper

processor = pytest.importorskip("coffea.processor")
nanoevents = pytest.importorskip("coffea.nanoevents")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference index", "ignore:.*fork.*:DeprecationWarning")

EVENTS, CHUNK = 60, 10


class Echo(TritonWrapper):
    """Gives back the jets' momenta, three times each."""

    def prepare_awkward(self, jets: Any) -> Any:
        flat = ak.to_numpy(ak.flatten(jets.pt))
        x = ak.Array(np.repeat(flat[:, None], 3, axis=1).astype(np.float32))
        return (["y"], {"x": x, "n": ak.Array(np.arange(len(flat))[:, None])}), {}

    def postprocess_awkward(self, return_array: Any, jets: Any) -> Any:
        return ak.unflatten(return_array["y"][:, 0], ak.num(jets))


class Momenta(processor.ProcessorABC):  # type: ignore[misc, name-defined]
    """Sums momenta, as they are and as the model gives them back, and says who connected."""

    def __init__(self, url: str, fallback: str | None = None) -> None:
        self.tagger = Echo(url, {"ssl": False}, fallback=fallback)

    def process(self, events: Any) -> Any:
        jets = events.Jet[events.Jet.pt > 20]
        scores = self.tagger(jets)
        assert ak.num(scores).to_list() == ak.num(jets).to_list()
        client = self.tagger._served()._client
        return {
            "events": len(events),
            "given": float(ak.sum(jets.pt)),
            "got": float(ak.sum(scores)),
            "connections": {f"{os.getpid()} {id(client)}"},
            "processes": {os.getpid()},
        }

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Generated events, of which a whole chunk has no jets."""
    random = np.random.default_rng(3)
    counts = random.poisson(4, EVENTS)
    counts[CHUNK : 2 * CHUNK] = 0
    pt = ak.unflatten(random.exponential(40, counts.sum()).astype(np.float32), counts)
    path = tmp_path_factory.mktemp("events") / "events.root"
    with uproot.recreate(path) as out:
        numbers = dict.fromkeys(("run", "luminosityBlock", "event"), "int64")
        tree = out.mktree(
            "Events", {"Jet": "var * {pt: float32, eta: float32, phi: float32, mass: float32}", **numbers}
        )
        jets = ak.zip({"pt": pt, **dict.fromkeys(("eta", "phi", "mass"), ak.zeros_like(pt))})
        tree.extend({"Jet": jets, **{name: np.arange(EVENTS) for name in numbers}})
    return str(path)


def run(executor: Any, file: str, url: str, fallback: Path | None = None) -> Any:
    runner = processor.Runner(
        executor=executor, schema=nanoevents.NanoAODSchema, chunksize=CHUNK, savemetrics=False, metadata_cache={}
    )
    made = Momenta(url, fallback and str(fallback))
    out = runner({"generated": {"files": {file: "Events"}}}, made)
    assert out["events"] == EVENTS
    assert out["got"] == pytest.approx(out["given"])
    assert out["given"] > 0
    # Each process unpickled the processor for each of its chunks, and connected once.
    assert len(out["connections"]) == len(out["processes"])
    return out


@pytest.fixture
def url(address: str) -> str:
    return f"triton+grpc://{address}/echo/1"


def test_one_after_another(file: str, url: str) -> None:
    out = run(processor.IterativeExecutor(status=False), file, url)
    assert out["processes"] == {os.getpid()}


def test_in_threads(file: str, url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        run(processor.FuturesExecutor(pool=pool, status=False), file, url)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_in_processes(start: str, file: str, url: str) -> None:
    pool = partial(ProcessPoolExecutor, mp_context=get_context(start))
    out = run(processor.FuturesExecutor(pool=pool, workers=2, status=False), file, url)
    assert os.getpid() not in out["processes"]


def test_in_processes_that_are_forked_from_one_that_is_connected(file: str, url: str) -> None:
    run(processor.IterativeExecutor(status=False), file, url)
    pool = partial(ProcessPoolExecutor, mp_context=get_context("fork"))
    out = run(processor.FuturesExecutor(pool=pool, workers=2, status=False), file, url)
    assert os.getpid() not in out["processes"]


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="inproc://"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_with_dask(cluster: Any, file: str, url: str) -> None:
    run(processor.DaskExecutor(client=cluster, status=False), file, url)


def test_the_fallback_takes_over(file: str, models: Path) -> None:
    run(processor.IterativeExecutor(status=False), file, "triton+grpc://127.0.0.1:1/echo/1", models)


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_with_events_of_either_mode(mode: str, file: str, url: str) -> None:
    events = nanoevents.NanoEventsFactory.from_root(
        {file: "Events"}, schemaclass=nanoevents.NanoAODSchema, mode=mode
    ).events()
    out = Momenta(url).process(events)
    assert out["got"] == pytest.approx(out["given"])


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_a_declared_conversion_of_events_of_either_mode(mode: str, file: str, server: Any) -> None:
    read: list[Any] = []
    events = nanoevents.NanoEventsFactory.from_root(
        {file: "Events"}, schemaclass=nanoevents.NanoAODSchema, mode=mode, access_log=read
    ).events()
    jets = events.Jet[events.Jet.pt > 20]
    conversion = Conversion(
        {"x": Rows().channels("pt", "eta", ("pt", np.sqrt)), "n": Rows().channels(("pt", np.rint), dtype=np.int64)},
        rows=1,
    )
    with sonic.Model(f"{server.grpc_url}/echo") as model:
        y = AwkwardModel(model, conversion)(jets)["y"]
    assert ak.num(y).to_list() == ak.num(jets).to_list()
    assert y[..., 0].to_list() == jets.pt.to_list()
    if mode == "virtual":
        assert not any("phi" in str(one) or "mass" in str(one) for one in read)


def test_with_events_of_dask_mode(file: str, url: str) -> None:
    dak = pytest.importorskip("dask_awkward")

    class Lazy(TritonWrapper):
        def prepare_awkward(self, jets: Any) -> Any:
            pt = dak.flatten(jets.pt)
            x = dak.concatenate([pt[:, None]] * 3, axis=1)
            return (["y"], {"x": x, "n": dak.values_astype(pt[:, None], "int64")}), {}

        def postprocess_awkward(self, return_array: Any, jets: Any) -> Any:
            return dak.unflatten(return_array["y"][:, 0], dak.num(jets))

    events = nanoevents.NanoEventsFactory.from_root(
        {file: "Events"}, schemaclass=nanoevents.NanoAODSchema, mode="dask"
    ).events()
    scores = Lazy(url, {"ssl": False})(events.Jet)
    assert dak.sum(scores).compute(scheduler="synchronous") == pytest.approx(
        dak.sum(events.Jet.pt).compute(scheduler="synchronous")
    )
