"""What is measured: a model each, the request that every client repeats, and how many clients there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnxruntime as ort
from google.protobuf import text_format

from benchmarks.server import networks
from sonic.protocol import modelconfig
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Size = Literal["small", "large"]


@dataclass(frozen=True)
class Case:
    """A model and a request to it.

    Parameters
    ----------
    name : str
        Of the case, and of its model in the repository.
    what : str
        For a reader.
    model : callable
        Returns the serialised ONNX model.
    shapes : mapping of str to tuple of int
        Shape of each input, all float32.
    config : str
        ``config.pbtxt``, without the name.
    clients : tuple of int
        Numbers of clients, each with one request under way at any time.
    size : str
        Which goals hold for it.
    computes : bool
        Whether the model takes most of the time: then it is measured on two cores as well.
    about_merging : bool
        Whether it says nothing about a server that does not merge requests.
    """

    name: str
    what: str
    model: Callable[[], bytes]
    shapes: Mapping[str, tuple[int, ...]]
    config: str
    clients: tuple[int, ...] = (1, 16, 64)
    size: Size = "large"
    computes: bool = False
    about_merging: bool = False

    @property
    def max_batch_size(self) -> int:
        """Most rows of a batch; 0: the first dimension is no batch."""
        return int(modelconfig.parse(self.config).max_batch_size)

    @property
    def batching(self) -> str:
        """How the server is to merge requests, as ``config.pbtxt`` says it; empty: it is not to."""
        config = modelconfig.parse(self.config)
        if not config.HasField("dynamic_batching"):
            return ""
        return text_format.MessageToString(ModelConfig(dynamic_batching=config.dynamic_batching), as_one_line=True)

    @property
    def request_bytes(self) -> int:
        """Bytes of the inputs of a request."""
        return sum(4 * int(np.prod(shape)) for shape in self.shapes.values())

    def inputs(self) -> dict[str, np.ndarray]:
        """Return the inputs of the request, the same in every run."""
        random = np.random.default_rng(7)
        return {name: random.uniform(0.1, 1, size=shape).astype(np.float32) for name, shape in self.shapes.items()}

    def write(self, repository: Path) -> Path:
        """Put the model into a repository; return the path of its ONNX file."""
        folder = repository / self.name / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(self.model())
        (folder.parent / "config.pbtxt").write_text(f'name: "{self.name}"\nplatform: "onnxruntime_onnx"\n{self.config}')
        return folder / "model.onnx"


def session(path: Path) -> ort.InferenceSession:
    """Load a model as the floor and the check run it: on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _tensors(inputs: str, outputs: str, max_batch_size: int = 0, rest: str = "") -> str:
    return (
        f"max_batch_size: {max_batch_size}\n"
        f'input {{ name: "in" data_type: TYPE_FP32 dims: [ {inputs} ] }}\n'
        f'output {{ name: "out" data_type: TYPE_FP32 dims: [ {outputs} ] }}\n{rest}'
    )


def _particlenet() -> bytes:
    return (MODELS / "particlenet-ak4" / "1" / "model.onnx").read_bytes()


def _particlenet_config() -> str:
    config = modelconfig.parse((MODELS / "particlenet-ak4" / "config.pbtxt").read_text())
    config.ClearField("name")
    config.ClearField("platform")
    for output in config.output:
        output.ClearField("label_filename")  # a file that other servers would be given too
    return text_format.MessageToString(config)


def _batched(name: str, what: str, delay_us: int = 0, clients: tuple[int, ...] = (1, 16, 64)) -> Case:
    """Return the small case for a server that merges requests, which may wait for company."""
    delay = f"max_queue_delay_microseconds: {delay_us} " if delay_us else ""
    config = _tensors("15", "1", 1024, f"dynamic_batching {{ {delay}}}\n")
    return Case(name, what, networks.dense, {"in": (16, 15)}, config, clients, size="small", about_merging=True)


def _identity(name: str, n_bytes: int, clients: tuple[int, ...] = (1, 16, 64)) -> Case:
    return Case(
        name,
        f"identity, {name.split('-')[1]}",
        networks.identity,
        {"in": (n_bytes // 4,)},
        _tensors("-1", "-1"),
        clients,
    )


def _first(name: str, n_bytes: int) -> Case:
    """Return a case whose model does next to nothing: what is left is the cost of bringing it the bytes."""
    what = f"the first of {name.split('-')[1]}"
    return Case(name, what, networks.first, {"in": (n_bytes // 4,)}, _tensors("-1", "1"), (1, 4))


_JETS = 10
CASES = (
    Case("dense16", "dense, [16,15]", networks.dense, {"in": (16, 15)}, _tensors("-1, 15", "-1, 1"), size="small"),
    _batched("dense16-batched", "dense, [16,15], dynamic batching"),
    _batched("dense16-waiting", "dense, [16,15], dynamic batching after 100 us", 100, (1, 4, 16, 64)),
    Case(
        "dense16000",
        "dense, [16000,15], 0.96 MB",
        networks.dense,
        {"in": (16000, 15)},
        _tensors("-1, 15", "-1, 1"),
        computes=True,
    ),
    Case(
        "particlenet",
        "ParticleNet, 10 jets",
        _particlenet,
        {
            f"{of}_{what}": (_JETS, rows, n)
            for of, n, features in (("pf", 50, 20), ("sv", 5, 11))
            for what, rows in (("points", 2), ("features", features), ("mask", 1))
        },
        _particlenet_config(),
        computes=True,
    ),
    Case(
        "resnet50",
        "ResNet-50, one image",
        networks.resnet50,
        {"in": (1, 3, 224, 224)},
        _tensors("3, 224, 224", "1000", 8),
        computes=True,
    ),
    _identity("identity-100kB", 100_000),
    _identity("identity-1MB", 1_000_000),
    _identity("identity-10MB", 10_000_000, (1, 4)),
    _first("first-1kB", 1_000),
    _first("first-10MB", 10_000_000),
)
