"""What every peer does the same way: read which models it is to serve, and run them. Runs in a peer's environment."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Tensor:
    """A float32 input or output; free dimensions of its shape are -1."""

    name: str
    shape: tuple[int, ...]


class Served:
    """A model, and what its server is to do with it.

    Parameters
    ----------
    name : str
    path : path
        Its ONNX file.
    max_batch_size : int
        0: the first dimension is no batch.
    batching : str
        How requests are to be merged, in the words of Triton's configuration; empty: not at all.
    """

    def __init__(self, name: str, path: str, max_batch_size: int, batching: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.name, self.max_batch_size, self.batching = name, max_batch_size, batching
        self.inputs = tuple(map(_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor, self._session.get_outputs()))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run it."""
        names = [output.name for output in self.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def from_body(body: bytes, header_bytes: int) -> dict[str, np.ndarray]:
    """Read the protocol's binary tensors, all float32, for a server that has none of its own."""
    inputs, at = {}, header_bytes
    for tensor in json.loads(body[:at])["inputs"]:
        size = tensor["parameters"]["binary_data_size"]
        inputs[tensor["name"]] = np.frombuffer(body, np.float32, size // 4, at).reshape(tensor["shape"])
        at += size
    return inputs


def to_body(model: str, outputs: Mapping[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Write them: the JSON header, and what follows it."""
    described = [
        {"name": name, "shape": array.shape, "datatype": "FP32", "parameters": {"binary_data_size": array.nbytes}}
        for name, array in outputs.items()
    ]
    header = json.dumps({"model_name": model, "model_version": "1", "outputs": described}).encode()
    return header, b"".join(array.tobytes() for array in outputs.values())


@dataclass(frozen=True)
class Options:
    """What a peer is told: models to load, ports, and a folder for its files."""

    models: list[dict[str, object]]
    http_port: int
    grpc_port: int
    folder: Path

    def load(self) -> list[Served]:
        """Load the models."""
        return [Served(**model) for model in self.models]


def options() -> Options:
    """Read the command line: the models' JSON file, the HTTP port, the gRPC port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    parser.add_argument("http_port", type=int)
    parser.add_argument("grpc_port", type=int)
    given = parser.parse_args()
    return Options(json.loads(given.models.read_text()), given.http_port, given.grpc_port, given.models.parent)


def _tensor(node: ort.NodeArg) -> Tensor:
    return Tensor(node.name, tuple(size if isinstance(size, int) else -1 for size in node.shape))
