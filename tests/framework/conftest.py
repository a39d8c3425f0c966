"""Fakes for the framework's tests: a model that answers when the test says so, small files, chunks."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sonic.framework import Chunk, EventRange, Mode, Workflow
from sonic.framework.ledger import Ledger
from sonic.framework.scheduler import Scheduler
from sonic.framework.steps import steps
from sonic.protocol.messages import ModelStatistics
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

TIMEOUT_S = 20.0


class ManualModel:
    """A model that doubles `x` into `y`, when the test answers.

    Attributes
    ----------
    calls : list of (dict, Future)
        Requests in the order in which they came.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.spec = ModelSpec(
            "double", "1", (TensorSpec("x", DType.FP64, (-1,)),), (TensorSpec("y", DType.FP64, (-1,)),), 100
        )
        self.calls: list[tuple[dict[str, np.ndarray], Future[dict[str, np.ndarray]]]] = []
        self._at_once = at_once
        self._came = threading.Condition()

    def submit(self, **arrays: np.ndarray) -> Future[dict[str, np.ndarray]]:
        future: Future[dict[str, np.ndarray]] = Future()
        with self._came:
            self.calls.append((arrays, future))
            self._came.notify_all()
        if self._at_once:
            self.answer(future)
        return future

    def statistics(self) -> ModelStatistics:
        rows = sum(len(arrays["x"]) for arrays, _ in self.calls)
        return ModelStatistics("double", "1", inference_count=rows, execution_count=len(self.calls))

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls) >= count, TIMEOUT_S), f"{len(self.calls)} of {count}"

    def answer(self, which: int | Future[Any]) -> None:
        """Answer a request, by its number or its future."""
        future = self.calls[which][1] if isinstance(which, int) else which
        arrays = next(arrays for arrays, other in self.calls if other is future)
        future.set_result({"y": 2 * arrays["x"]})

    @property
    def outstanding(self) -> int:
        return sum(not future.done() for _, future in self.calls)


class OneModel:
    """A client that knows one model."""

    def __init__(self, model: ManualModel) -> None:
        self._model = model

    def model(self, name: str, version: str = "", outputs: Sequence[str] = ()) -> ManualModel:
        return self._model


class Running:
    """A scheduler at work in a thread of its own, so that the test can answer meanwhile."""

    def __init__(self, scheduler: Scheduler, chunks: Iterable[Chunk], write: Callable[[Chunk], None]) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(scheduler, chunks, write))
        self._thread.start()

    def _run(self, scheduler: Scheduler, chunks: Iterable[Chunk], write: Callable[[Chunk], None]) -> None:
        try:
            scheduler.run(chunks, write)
        except BaseException as error:  # noqa: BLE001 - raised again by finish()
            self.error = error

    def finish(self) -> None:
        """Wait for the end, and raise what the run raised."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the run did not end"
        if self.error is not None:
            raise self.error


@pytest.fixture
def manual_model() -> type[ManualModel]:
    return ManualModel


@pytest.fixture
def one_model() -> type[OneModel]:
    return OneModel


@pytest.fixture
def chunk_of() -> Callable[..., Chunk]:
    """Make a chunk from columns: `chunk_of(x=[1, 2], Jet_pt=[[1.0], []])`."""

    def make(index: int = 0, /, **columns: Any) -> Chunk:
        block = {name: ak.to_layout(ak.Array(values)) for name, values in columns.items()}
        size = len(next(iter(block.values())))
        return Chunk(EventRange(index, "events.root", 10 * index, 10 * index + size), block)

    return make


@pytest.fixture
def number_chunks() -> Callable[..., list[Chunk]]:
    """Make chunks of two events each, with x = 0, 1, 2, ..."""

    def make(count: int) -> list[Chunk]:
        block = {"x": ak.to_layout(np.arange(2.0 * count))}
        return [Chunk(EventRange(i, "events.root", 2 * i, 2 * i + 2), block, 2 * i) for i in range(count)]

    return make


@pytest.fixture
def scheduler_of() -> Callable[..., Scheduler]:
    """Make a scheduler for modules, with every offload calling `model`."""

    def make(*modules: Any, model: Any = None, mode: str = "async", **options: Any) -> Scheduler:
        workflow = Workflow("test", modules)
        graph = workflow.graph()
        names = [module.name for module in workflow.offloads()]
        options = {"threads": 1, "streams": 4} | options
        ledger = options.pop("ledger", None) or Ledger([module.name for module in modules], options["threads"])
        return Scheduler(
            graph,
            steps(graph, modules),
            dict.fromkeys(names, model),
            ledger,
            modes={module.name: Mode(module.mode or mode) for module in workflow.offloads()},
            **options,
        )

    return make


@pytest.fixture
def start() -> type[Running]:
    return Running


@pytest.fixture
def events_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a small file in the manner of NanoAOD."""

    def write(events: int = 10, *, name: str = "events.root", seed: int = 1, without: str = "") -> Path:
        rng = np.random.default_rng(seed)
        counts = rng.integers(0, 4, events)
        total = int(counts.sum())
        columns = {
            "run": np.full(events, seed, np.uint32),
            "x": np.arange(events, dtype=np.float64),
            "Jet_pt": ak.unflatten(rng.exponential(40, total).astype(np.float32), counts),
            "Jet_eta": ak.unflatten(rng.uniform(-2, 2, total).astype(np.float32), counts),
        }
        types = {"run": "uint32", "x": "float64", "Jet_pt": "var * float32", "Jet_eta": "var * float32"}
        columns.pop(without, None)
        types.pop(without, None)
        path = tmp_path / name
        with uproot.recreate(path) as file:
            tree = file.mktree("Events", types, counter_name=lambda branch: f"n{branch.partition('_')[0]}")
            if events:
                tree.extend(columns)
            file["h"] = np.histogram([1.0, 2.0])
        return path

    return write


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A repository with `scorer`, a small network; `wrong`, with other inputs; and `nan`."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path_factory.mktemp("models")

    def add(name, width, weights):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["sum"]), helper.make_node("Sigmoid", ["sum"], ["y"])],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
            [numpy_helper.from_array(weights.astype(np.float32), "w")],
        )
        (folder / name / "1").mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / name / "1" / "model.onnx")

    add("scorer", 2, np.array([[0.01], [-0.3]]))
    add("wrong", 5, np.ones((5, 1)))
    add("nan", 2, np.full((2, 1), np.nan))
    return folder
