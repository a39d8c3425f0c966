"""The models that are served: each turns a value into one that only the same value can have come from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    Arrays = Mapping[str, np.ndarray]

WIDTH = 4
"""Columns of what the model ``faulty`` takes."""
MAX_ROWS = 64
TAGGER = "particlenet-ak4"
STAY = ("scale", "shift", "chain", "copy", "words", "faulty", "slow", TAGGER)
"""Never unloaded; some of them are replaced while they are in use."""
COME_AND_GO = ("count", "guest")
WORK = "work"
"""One core for some milliseconds, whatever it is given."""

_SHIFT = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def answer(self, x):
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x + 5)])
"""

_FAULTY = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(*(pb_utils.get_input_tensor_by_name(r, n).as_numpy() for n in "hx")) for r in requests]

    def answer(self, how, x):
        if how[0, 0] == 1:
            raise ValueError(f"told to raise at {x[0, 0]:.0f}")
        if how[0, 0] == 2:
            x = x[:, :1]
        if how[0, 0] == 3:
            error = pb_utils.TritonError(f"told to refuse {x[0, 0]:.0f}")
            return pb_utils.InferenceResponse(error=error)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", 4 * x)])
"""

_SLOW = """import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            time.sleep(x[0] / 1000)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x + 1)]))
        return responses
"""


def shipped() -> Path:
    """Return the repository of the networks that ship with Sonic."""
    import sonic.workloads

    return Path(sonic.workloads.__file__).parent / "models"


def write(folder: Path) -> None:
    """Write a repository of every model that does not ship, see the constants of this file."""
    _onnx(folder, "scale", _affine(TensorProto.FLOAT, 2, 1), f"max_batch_size: {MAX_ROWS}", "FP32")
    _onnx(folder, "count", _affine(TensorProto.INT64, 3, -1), f"max_batch_size: {MAX_ROWS}", "INT64")
    batching = f'backend: "python" max_batch_size: {MAX_ROWS} dynamic_batching {{ }}'
    _python(folder, "shift", _SHIFT, batching + _tensor("input", "x", "FP32", -1) + _tensor("output", "y", "FP32", -1))
    _python(folder, "guest", _SHIFT, batching + _tensor("input", "x", "FP32", -1) + _tensor("output", "y", "FP32", -1))
    tensors = _tensor("input", "h", "INT32", 1) + _tensor("input", "x", "FP32", WIDTH)
    _python(folder, "faulty", _FAULTY, batching + tensors + _tensor("output", "y", "FP32", WIDTH))
    tensors = _tensor("input", "x", "INT64", 2) + _tensor("output", "y", "INT64", 2)
    _python(folder, "slow", _SLOW, 'backend: "python"' + tensors)
    for name, datatype in (("copy", "FP32"), ("words", "STRING")):
        tensors = _tensor("input", "x", datatype, -1) + _tensor("output", "y", datatype, -1)
        _model(folder, name, 'backend: "identity"' + tensors)
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "x" value: "{before}" }} '
        f'output_map {{ key: "y" value: "{after}" }} }}'
        for model, before, after in (("scale", "x", "between"), ("shift", "between", "y"))
    )
    tensors = _tensor("input", "x", "FP32", -1) + _tensor("output", "y", "FP32", -1)
    text = f'platform: "ensemble" max_batch_size: {MAX_ROWS} {tensors} ensemble_scheduling {{ {steps} }}'
    _model(folder, "chain", text)


def write_work(folder: Path, work_ms: float) -> None:
    """Write the repository of the overload, whose one model keeps a core busy for about so long."""
    products = 8
    least_ms = min(_run_ms(_products(products)) for _ in range(3))
    model = _products(max(1, round(products * work_ms / least_ms)))
    tensors = _tensor("input", "x", "FP32", 1) + _tensor("output", "y", "FP32", 1)
    (_model(folder, WORK, tensors) / "1" / "model.onnx").write_bytes(model)


def _products(count: int, size: int = 256) -> bytes:
    random = np.random.default_rng(1)
    matrix = (random.standard_normal((size, size)) / np.sqrt(size)).astype(np.float32)
    nodes = [helper.make_node("Mul", ["x", "matrix"], ["p0"])]
    nodes += [helper.make_node("MatMul", [f"p{i}", "matrix"], [f"p{i + 1}"]) for i in range(count)]
    # Neither a constant nor unused, or the runtime would leave the products out.
    nodes += [
        helper.make_node("ReduceMax", [f"p{count}"], ["largest"], keepdims=0),
        helper.make_node("Clip", ["largest", "none", "none"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _graph(nodes, {"matrix": matrix, "none": np.zeros((), np.float32)}, TensorProto.FLOAT, [1])


def _run_ms(model: bytes) -> float:
    session = _session(model)
    start_s = time.perf_counter()
    session.run(None, {"x": np.ones(1, np.float32)})
    return 1000 * (time.perf_counter() - start_s)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def jets(count: int = 32) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make inputs of the jet tagger that ships, and what it gives for each, computed without a server.

    Returns
    -------
    inputs : dict of str to ndarray
        Of shape [count, ...].
    scores : ndarray
        float32 [count, 8].
    """
    session = _session((shipped() / TAGGER / "1" / "model.onnx").read_bytes())
    random = np.random.default_rng(2)
    inputs = {
        tensor.name: np.ones((count, *tensor.shape[1:]), np.float32)
        if "mask" in tensor.name
        else random.standard_normal((count, *tensor.shape[1:])).astype(np.float32)
        for tensor in session.get_inputs()
    }
    return inputs, session.run(["softmax"], inputs)[0]


def _affine(element: int, factor: int, offset: int) -> bytes:
    dtype = helper.tensor_dtype_to_np_dtype(element)
    nodes = [helper.make_node("Mul", ["x", "factor"], ["z"]), helper.make_node("Add", ["z", "offset"], ["y"])]
    constants = {"factor": np.array(factor, dtype), "offset": np.array(offset, dtype)}
    return _graph(nodes, constants, element, ["rows", "columns"])


def _graph(nodes: Sequence[onnx.NodeProto], constants: Arrays, element: int, shape: Sequence[int | str]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "soak",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", element, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model.SerializeToString()


def _tensor(what: str, name: str, datatype: str, size: int) -> str:
    return f' {what} {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {size} ] }}'


def _onnx(folder: Path, name: str, model: bytes, config: str, datatype: str) -> None:
    tensors = _tensor("input", "x", datatype, -1) + _tensor("output", "y", datatype, -1)
    (_model(folder, name, f"{config} dynamic_batching {{ }}" + tensors) / "1" / "model.onnx").write_bytes(model)


def _python(folder: Path, name: str, code: str, config: str) -> None:
    (_model(folder, name, config) / "1" / "model.py").write_text(code)


def _model(folder: Path, name: str, config: str) -> Path:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(config)
    return folder / name
