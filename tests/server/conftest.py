"""Repositories of tiny models, and a backend that does what a test tells it."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sonic.server.backends import Backend, Instance, register_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx


class Graph:
    """Builds an ONNX model node by node, with weights from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}

    def weight(self, *shape: int, dtype: type = np.float32) -> str:
        scale = np.sqrt(max(1, np.prod(shape[:-1])))
        return self.constant((self.random.standard_normal(shape) / scale).astype(dtype))

    def constant(self, value: Any) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers[name] = np.asarray(value)
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[-1]

    def build(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        element: int = TensorProto.FLOAT,
        opset: int = 18,
    ) -> bytes:
        nodes = [*self.nodes]
        for name, (tensor, _) in outputs.items():
            nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, element, shape) for name, (_, shape) in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.initializers.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 10
        return model.SerializeToString()


def dense(
    widths: Sequence[int] = (4, 8, 2), activation: str = "Relu", batch: int | str = "batch", seed: int = 1
) -> bytes:
    graph = Graph(seed)
    x = "x"
    for layer, (before, after) in enumerate(pairwise(widths)):
        x = graph.op("Add", graph.op("MatMul", x, graph.weight(before, after)), graph.weight(after))
        if layer < len(widths) - 2:
            x = graph.op(activation, x)
    return graph.build({"x": [batch, widths[0]]}, {"y": (x, [batch, widths[-1]])})


class Folder:
    """A model repository that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def onnx(self, name: str, model: bytes | None = None, config: str = "", version: str = "1") -> Path:
        file = self.add(name, config, version) / "model.onnx"
        file.write_bytes(dense() if model is None else model)
        return file

    def add(self, name: str, config: str = "", version: str = "1") -> Path:
        folder = self.path / name / version
        folder.mkdir(parents=True, exist_ok=True)
        if config:
            (self.path / name / "config.pbtxt").write_text(config)
        return folder

    def change(self, name: str) -> None:
        """Let a model's folder be another than it was, so that it is loaded anew."""
        folder = self.path / name
        (folder / f"note{len(list(folder.iterdir()))}").touch()

    def scripted(
        self, name: str = "scripted", batching: str = "dynamic_batching {}", batch: int = 64, count: int = 1
    ) -> None:
        """A model of the backend that a test directs."""
        self.add(
            name,
            f"""backend: "scripted" max_batch_size: {batch} {batching}
            input {{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}
            output {{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}
            instance_group {{ count: {count} }}""",
        )

    def identity(self, name: str, *types: str, batch: int = 0, dims: str = "-1", extra: str = "") -> None:
        inputs = "".join(f'input {{ name: "in{i}" data_type: TYPE_{t} dims: [ {dims} ] }}' for i, t in enumerate(types))
        outputs = "".join(
            f'output {{ name: "out{i}" data_type: TYPE_{t} dims: [ {dims} ] }}' for i, t in enumerate(types)
        )
        self.add(name, f'backend: "identity" max_batch_size: {batch} {inputs} {outputs} {extra}')


class Script:
    """What the instances of the scripted backend do: ``y = 2 x`` unless told otherwise."""

    def __init__(self) -> None:
        self.run: Callable[[np.ndarray], Any] = lambda x: {"y": 2 * x}
        self.load: Callable[[], Any] = lambda: None
        self.batches: list[int] = []
        self.closed = 0
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def hold(self) -> None:
        """Let every execution wait for :meth:`release`."""
        self.gate.clear()

    def release(self) -> None:
        self.gate.set()

    def wait_started(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.started.acquire(timeout=10), "no execution began"


class _ScriptedInstance(Instance):
    def __init__(self, script: Script) -> None:
        self._script = script

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        self._script.batches.append(len(inputs["x"]))
        self._script.started.release()
        assert self._script.gate.wait(30), "a test left a model waiting"
        return self._script.run(inputs["x"])


class ScriptedBackend(Backend):
    platform: ClassVar[str] = "scripted"
    script: ClassVar[Script]

    def __init__(self, context: Any) -> None:
        self._count = sum(group.count for group in context.config.instance_group)
        self.script.load()

    def close(self) -> None:
        self.script.closed += 1

    def instances(self) -> Sequence[Instance]:
        return [_ScriptedInstance(self.script)] * self._count


@pytest.fixture
def script() -> Script:
    """Directs the models that ``folder.scripted()`` makes."""
    ScriptedBackend.script = script = Script()
    register_backend("scripted", ScriptedBackend)
    yield script
    script.release()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Wait for what nothing announces."""

    def wait(holds: Callable[[], Any]) -> None:
        tick = threading.Event()
        for _ in range(10_000):
            if holds():
                return
            tick.wait(0.001)
        raise AssertionError("it never came to hold")

    return wait


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "models")


@pytest.fixture
def other_folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "more")


@pytest.fixture
def make_dense() -> Callable[..., bytes]:
    return dense


@pytest.fixture
def make_graph() -> type[Graph]:
    return Graph


@pytest.fixture(scope="session")
def graphs() -> type[Graph]:
    return Graph


@pytest.fixture
def serve() -> Any:
    """:func:`sonic.serve` on folders of tests, on one core; everything is closed at the end."""
    from sonic.server.app import serve as start

    made: list[Any] = []

    def make(*folders: Folder, **options: Any) -> Any:
        made.append(start(*(folder.path for folder in folders), **{"cores": 1, **options}))
        return made[-1]

    yield make
    for server in made:
        server.close(drain_s=0.0)
