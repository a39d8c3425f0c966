"""A case's request as bytes, for each way to a server; and one such request sent and its answer decoded.

Answers are decoded by Triton's client: that the other side is Sonic's as well proves nothing.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING

import grpc
import httpx
import numpy as np
import tritonclient.grpc  # type: ignore[import-untyped]
import tritonclient.http  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2

from sonic.protocol import grpc_codec, http_codec
from sonic.protocol.form import BYTE_SIZE, OFFSET, REGION
from sonic.protocol.messages import InferRequest
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.server.cases import Case
    from benchmarks.server.processes import Target

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
_TIMEOUT_S = 60.0
_ALIGNMENT = 64
_PREFIX_BYTES = 5  # of a message of gRPC: whether it is compressed, and its length


class WrongAnswerError(RuntimeError):
    """An answer, or some of the answers under load, were not what the model computes."""


@dataclass(frozen=True)
class Transport:
    """A way to a server: a protocol, over TCP or a Unix domain socket, tensors in the message or in shared memory."""

    http1: bool
    unix: bool = False
    shm: bool = False

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{'http' if self.http1 else 'grpc'}{'-unix' if self.unix else ''}{'-shm' if self.shm else ''}"

    def reaches(self, target: Target) -> bool:
        """Whether a server offers it."""
        if self.shm and not target.shm:
            return False
        if self.unix:
            return bool(target.http_socket if self.http1 else target.grpc_socket)
        return bool(target.http if self.http1 else target.grpc)


TRANSPORTS = {
    transport.name: transport
    for transport in (
        Transport(http1, unix, shm) for shm in (False, True) for unix in (False, True) for http1 in (False, True)
    )
}


@dataclass(frozen=True)
class Request:
    """What h2load needs.

    Parameters
    ----------
    url : str
    http1 : bool
    body : path
        File with the body.
    headers : mapping of str to str
    socket : str
        Path of a Unix domain socket, or empty.
    """

    url: str
    http1: bool
    body: Path
    headers: Mapping[str, str]
    socket: str = ""


@dataclass(frozen=True)
class Region:
    """Shared memory of a case: its inputs, and behind them room for its outputs; each tensor's offset and size."""

    name: str
    memory: SharedMemory
    inputs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def put(self, name: str, array: np.ndarray) -> None:
        """Write an input."""
        offset, size = self.inputs[name]
        self._bytes()[offset : offset + size] = array.tobytes()

    def clear(self) -> None:
        """Forget the outputs, so that only a new answer can be right."""
        for offset, size in self.outputs.values():
            self._bytes()[offset : offset + size] = bytes(size)

    def output(self, name: str, like: np.ndarray) -> np.ndarray:
        """Return a copy of an output."""
        offset, size = self.outputs[name]
        return np.frombuffer(bytes(self._bytes()[offset : offset + size]), like.dtype).reshape(like.shape)

    def _bytes(self) -> memoryview:
        view = self.memory.buf
        assert view is not None, "the memory is closed"
        return view


@contextmanager
def region(case: Case, target: Target, outputs: Mapping[str, np.ndarray]) -> Iterator[Region]:
    """Put a case's inputs into shared memory and register it with the server.

    All clients name the same memory: they read the same inputs, and write the same bytes as outputs.
    """
    end, spans = 0, {}
    for name, array in (*case.inputs().items(), *outputs.items()):
        spans[name] = (end, array.nbytes)
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    memory = SharedMemory(create=True, size=end)
    try:
        held = Region(
            f"bench-{case.name}",
            memory,
            {name: spans[name] for name in case.inputs()},
            {name: spans[name] for name in outputs},
        )
        for name, array in case.inputs().items():
            held.put(name, array)
        with grpc.insecure_channel(target.grpc, options=_OPTIONS) as channel:
            stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            offer = pb.SystemSharedMemoryRegisterRequest(name=held.name, key=memory.name, byte_size=end)
            try:
                stub.SystemSharedMemoryRegister(offer, timeout=_TIMEOUT_S)
            except grpc.RpcError as error:
                raise RuntimeError(f"{target.name} refused shared memory: {error.details()}") from error
            try:
                yield held
            finally:
                forget = pb.SystemSharedMemoryUnregisterRequest(name=held.name)
                try:
                    stub.SystemSharedMemoryUnregister(forget, timeout=_TIMEOUT_S)
                except grpc.RpcError as error:
                    raise RuntimeError(f"{target.name} kept shared memory: {error.details()}") from error
    finally:
        memory.close()
        memory.unlink()


def write(case: Case, transport: Transport, target: Target, folder: Path, shared: Region | None) -> Request:
    """Write the body of a case's request to a file in `folder`."""
    body = folder / f"{case.name}.{transport.name}"
    socket = (target.http_socket if transport.http1 else target.grpc_socket) if transport.unix else ""
    if transport.http1:
        data, length = _http(case, shared)
        body.write_bytes(data)
        headers = {"content-type": "application/octet-stream", http_codec.HEADER_LENGTH: str(length)}
        host = "localhost" if socket else target.http
        return Request(f"http://{host}/v2/models/{case.name}/infer", True, body, headers, socket)
    data = _grpc(case, shared)
    body.write_bytes(b"\0" + len(data).to_bytes(4, "big") + data)
    host = "localhost" if socket else target.grpc
    return Request(
        f"http://{host}{_INFER}", False, body, {"content-type": "application/grpc", "te": "trailers"}, socket
    )


def ask(request: Request, outputs: Mapping[str, np.ndarray], shared: Region | None) -> int:
    """Send a request once, and compare the answer with what is right.

    Returns
    -------
    int
        Bytes of the answer's body.

    Raises
    ------
    RuntimeError
        If the answer is an error.
    WrongAnswerError
        If it is none, or has other values.
    """
    if shared is not None:
        shared.clear()
    try:
        answer_bytes, arrays = _ask_http(request, shared) if request.http1 else _ask_grpc(request, shared)
    except (ValueError, KeyError) as error:  # of decoding
        raise WrongAnswerError(f"{request.url}: an answer that cannot be read: {error}") from error
    for name, right in outputs.items():
        given = arrays.get(name) if shared is None else shared.output(name, right)
        if given is None or given.shape != right.shape:
            shape = "nothing" if given is None else list(given.shape)
            raise WrongAnswerError(f"{request.url}: output {name!r} has the shape {list(right.shape)}, given {shape}")
        if not np.allclose(given, right, rtol=1e-4, atol=1e-5):
            raise WrongAnswerError(f"{request.url}: output {name!r} is off by {np.abs(given - right).max():g}")
    return answer_bytes


def _grpc(case: Case, shared: Region | None) -> bytes:
    if shared is None:
        return grpc_codec.request_to_wire(InferRequest(case.name, case.inputs()))
    message = pb.ModelInferRequest(model_name=case.name)
    for name, shape in case.shapes.items():
        _place(message.inputs.add(name=name, datatype="FP32", shape=shape), shared.name, shared.inputs[name])
    for name, span in shared.outputs.items():
        _place(message.outputs.add(name=name), shared.name, span)
    return bytes(message.SerializeToString())


def _place(
    tensor: pb.ModelInferRequest.InferInputTensor | pb.ModelInferRequest.InferRequestedOutputTensor,
    name: str,
    span: tuple[int, int],
) -> None:
    tensor.parameters[REGION].string_param = name
    tensor.parameters[OFFSET].int64_param, tensor.parameters[BYTE_SIZE].int64_param = span


def _http(case: Case, shared: Region | None) -> tuple[bytes, int]:
    if shared is None:
        return http_codec.request_to_wire(InferRequest(case.name, case.inputs()))

    def place(span: tuple[int, int]) -> dict[str, str | int]:
        return {REGION: shared.name, OFFSET: span[0], BYTE_SIZE: span[1]}

    document = {
        "inputs": [
            {"name": name, "shape": shape, "datatype": "FP32", "parameters": place(shared.inputs[name])}
            for name, shape in case.shapes.items()
        ],
        "outputs": [{"name": name, "parameters": place(span)} for name, span in shared.outputs.items()],
    }
    data = json.dumps(document).encode()
    return data, len(data)


def _ask_grpc(request: Request, shared: Region | None) -> tuple[int, Mapping[str, np.ndarray]]:
    where = f"unix:{request.socket}" if request.socket else httpx.URL(request.url).netloc.decode()
    with grpc.insecure_channel(where, options=_OPTIONS) as channel:
        try:
            answer: bytes = channel.unary_unary(_INFER)(request.body.read_bytes()[_PREFIX_BYTES:], timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise RuntimeError(f"{request.url}: {error.code().name}: {error.details()}") from error
    if shared is not None:
        return len(answer) + _PREFIX_BYTES, {}
    result = tritonclient.grpc.InferResult(service_pb2.ModelInferResponse.FromString(answer))
    arrays = {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
    return len(answer) + _PREFIX_BYTES, arrays


def _ask_http(request: Request, shared: Region | None) -> tuple[int, Mapping[str, np.ndarray]]:
    transport = httpx.HTTPTransport(uds=request.socket or None)
    with httpx.Client(transport=transport, trust_env=False, timeout=_TIMEOUT_S) as client:
        try:
            answer = client.post(request.url, content=request.body.read_bytes(), headers=dict(request.headers))
        except httpx.HTTPError as error:
            raise RuntimeError(f"{request.url}: {error}") from error
    if not answer.is_success:
        raise RuntimeError(f"{request.url}: {answer.status_code}: {answer.text[:200]}")
    if shared is not None:
        return len(answer.content), {}
    length = answer.headers.get(http_codec.HEADER_LENGTH)
    result = tritonclient.http.InferenceServerClient.parse_response_body(
        answer.content, header_length=int(length) if length else None
    )
    arrays = {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}
    return len(answer.content), arrays
