"""What fuzzing begins with: a few messages of each kind that are right, or wrong in one place; not stored."""

from __future__ import annotations

import json

import jwt
import numpy as np

from fuzz.wires import WIRES
from sonic.protocol import documents, grpc_codec, http_codec, modelconfig
from sonic.protocol.form import Form
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.specs import DType

PBTXT = """
name: "m" backend: "onnxruntime" max_batch_size: 8 default_model_filename: "model.onnx"
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ -1, 2, 2 ] } optional: true } ]
output { name: "y" data_type: TYPE_STRING dims: 1 label_filename: "labels.txt" }
version_policy { specific { versions: [ 1, 3 ] } }
dynamic_batching {
  preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 priority_levels: 3 default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 7 max_queue_size: 9 }
  priority_queue_policy { key: 1 value { allow_timeout_override: true } }
}
instance_group [ { kind: KIND_CPU count: 2 gpus: 0 } ]
model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 zero_data: true } } }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
response_cache { enable: true }
"""

ENSEMBLE = """
platform: "ensemble" ensemble_scheduling { step { model_name: "a" model_version: -1
  input_map { key: "x" value: "X" } output_map { key: "y" value: "Y" } } }
"""


def seeds(target: str) -> list[bytes]:
    """Return what the target of that name begins with."""
    return _SEEDS[target]


def words(target: str) -> list[bytes]:
    """Return what means something to the target of that name, for a dictionary."""
    return sorted({word for seed in _SEEDS[target] for word in _split(seed)})


def _split(seed: bytes) -> set[bytes]:
    text = "".join(chr(octet) if chr(octet).isalnum() or octet == ord("_") else " " for octet in seed)
    return {word.encode("latin-1") for word in text.split() if 2 < len(word) < 40 and word.isascii()}


def _arrays() -> dict[str, np.ndarray]:
    every = {dtype.name: np.ones((2, 1), dtype.numpy) for dtype in DType if dtype is not DType.BYTES}
    return {**every, "BYTES": np.array([b"a", b""], np.object_), "scalar": np.array(1.5), "none": np.zeros((0, 3))}


def _requests() -> list[InferRequest]:
    arrays = _arrays()
    few = {name: arrays[name] for name in ("FP32", "BF16", "BYTES")}
    return [
        InferRequest("m", arrays, "1", "id", dtypes={"BF16": DType.BF16}),
        InferRequest(
            "m",
            few,
            outputs=("y", "z"),
            timeout_s=0.5,
            parameters={"priority": 1, "f": 0.5, "s": "x"},
            classes={"y": 2},
        ),
        InferRequest("m", {}),
    ]


def _grpc_requests() -> list[bytes]:
    found = [grpc_codec.request_to_wire(request) for request in _requests()]
    shared = pb.ModelInferRequest(model_name="m", parameters={"timeout": pb.InferParameter(string_param="7")})
    for message in (shared.inputs.add(name="x", datatype="FP32", shape=[2]), shared.outputs.add(name="y")):
        message.parameters["shared_memory_region"].string_param = "r"
        message.parameters["shared_memory_byte_size"].int64_param = 8
        message.parameters["shared_memory_offset"].uint64_param = 4
    typed = pb.ModelInferRequest(model_name="m")
    typed.inputs.add(name="i", datatype="INT8", shape=[2]).contents.int_contents.extend([1, -1])
    typed.inputs.add(name="b", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"x")
    typed.inputs.add(name="f", datatype="FP32", shape=[1]).contents.fp32_contents.append(2)
    return [*found, shared.SerializeToString(), typed.SerializeToString(), typed.inputs[0].SerializeToString()]


def _responses() -> list[InferResponse]:
    arrays = _arrays()
    return [
        InferResponse("m", "1", arrays, "id", dtypes={"BF16": DType.BF16}),
        InferResponse("m", "1", {"y": arrays["FP32"]}, parameters={"p": True}),
    ]


def _grpc_responses() -> list[bytes]:
    alone = [grpc_codec.response_to_wire(response) for response in _responses()]
    streamed = [grpc_codec.stream_to_wire(answer) for answer in (*_responses(), ValueError("no"))]
    return [*alone, *streamed]


def _http_requests() -> list[bytes]:
    bodies = [(body, length) for body, length in map(http_codec.request_to_wire, _requests())]
    values = {"datatype": "FP32", "shape": [2, 1], "data": [[1.5], [float("nan")]]}
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 4}
    written = (
        {"inputs": [{"name": "x", **values}], "id": "4", "parameters": {"binary_data_output": True, "timeout": 7}},
        {"inputs": [{"name": "s", "datatype": "BYTES", "shape": [1], "data": ["\u00e9\U0001f642"]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": place}]},
        {"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 2, "binary_data": False}}]},
    )
    bodies += [(json.dumps(document).encode(), 0xFFFF) for document in written]
    return [length.to_bytes(2, "little") + body for body, length in bodies]


def _http_responses() -> list[bytes]:
    found = []
    for response in _responses()[1:]:
        for binary in (False, True):
            parts, length = http_codec.response_to_wire(response, Form(binary=binary))
            found.append((0xFFFF if length is None else length).to_bytes(2, "little") + b"".join(parts))
    return [*found, b'\xff\xff{"error": "no such model"}']


def _tensors() -> list[bytes]:
    found = []
    for place, dtype in enumerate(DType):
        content = b"\1\0\0\0a\0\0\0\0" if dtype is DType.BYTES else bytes(2 * (dtype.wire_size or 0))
        found.append(bytes([place, 2, 2, 1]) + content)
    return [*found, bytes([10, 3, 0, 126, 126]), bytes([10, 1, 63]), bytes([13, 1, 126]) + bytes(8)]


def _json_configs() -> list[bytes]:
    document = {
        "maxBatchSize": 4,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", 4]}],
        "dynamic_batching": {"priority_queue_policy": {"1": {"max_queue_size": 3}}},
        "parameters": {"a": {"string_value": "b"}},
    }
    return [json.dumps(document).encode(), documents.config_to_wire(modelconfig.parse(PBTXT)), b"{}"]


def _tokens() -> list[bytes]:
    claims = {"exp": 4_000_000_000, "nbf": 0, "iat": 0, "sub": "a", "iss": "b", "aud": ["c"]}
    signed = jwt.encode(claims, bytes(range(32)), "HS256", headers={"kid": "k"})
    unsigned = jwt.encode(claims, None, "none", headers={"kid": "k", "crit": ["b64"], "b64": False})
    return [f"Bearer {text}".encode() for text in (signed, unsigned, "known", "a.b.c")]


_SETTINGS = [
    b'{"log_info": true, "log_verbose_level": 1, "log_file": "", "log_format": "default"}',
    b'{"trace_level": "OFF", "trace_rate": "1", "trace_count": -1, "log_frequency": null, "trace_file": ""}',
    b'{"key": "/sonic-fuzz-absent", "offset": 0, "byte_size": 8}',
]

_ANSWERS = [
    b'{"name": "sonic", "version": "1", "extensions": ["trace"]}',
    b'{"name": "m", "versions": ["1", "2"], "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}]}',
    b'[{"name": "m", "version": "1", "state": "READY", "reason": ""}]',
    b'{"model_stats": [{"name": "m", "inference_stats": {"success": {"count": "1", "ns": 2}}, "batch_stats": [{}]}]}',
]

_SEEDS = {
    **{name: seeds() for name, (_, seeds) in WIRES.items()},
    "rawfields": _grpc_requests(),
    "grpc_request": _grpc_requests(),
    "grpc_response": _grpc_responses(),
    "http_request": _http_requests(),
    "http_response": _http_responses(),
    "http_answers": _ANSWERS,
    "tensor": _tensors(),
    "pbtxt": [PBTXT.encode(), ENSEMBLE.encode()],
    "config_json": _json_configs(),
    "settings": _SETTINGS,
    "token": _tokens(),
}
