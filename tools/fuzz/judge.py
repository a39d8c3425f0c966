"""A live server under hostile requests: how they are sent, what may come back, and that good ones still go well."""

from __future__ import annotations

import http.client
import json
import socket
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from fuzz.faults import FaultError, expect
from sonic.protocol import grpc_codec, http_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from sonic.testing.hostile import Call, Exchange

STEADY = "steady"
"""A model that is asked for what is right, and that no hostile request names."""
PLASTIC = "plastic"
"""A model that hostile requests load with other configurations; it may fail."""
MODELS = {
    "numbers": {"in0": "FP32", "in1": "INT64", "in2": "BOOL"},
    "batched": {"in0": "FP64"},
    "texts": {"in0": "BYTES"},
    "halves": {"in0": "FP16", "in1": "BF16"},
    PLASTIC: {"in0": "FP32"},
}
"""By name: what each takes. Those whose names begin with b or h take batches."""
REGION = "r"
MAX_MESSAGE_BYTES = 1 << 20

_TIMEOUT_S = 30.0
_INTERNAL = "internal error of the server"
_REFUSALS = {400, 401, 404, 405, 406, 408, 411, 413, 414, 415, 417, 429, 431, 501, 503, 504}
_CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


def write_models(folder: Path) -> None:
    """Write a repository of models that give back what they get."""
    for name, inputs in {**MODELS, STEADY: {"in0": "FP32"}}.items():
        tensors = "".join(
            f'{way}put {{ name: "{way}{n}" data_type: TYPE_{kind.replace("BYTES", "STRING")} dims: [ -1 ] }} '
            for way in ("in", "out")
            for n, kind in enumerate(inputs.values())
        )
        batch = 64 if name[0] in "bh" else 0
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(f'backend: "identity" max_batch_size: {batch} {tensors}')


class Judge:
    """A client of a server of :func:`write_models`, in explicit mode and with :data:`MAX_MESSAGE_BYTES`.

    Context manager. Shared memory is registered as :data:`REGION`.

    Parameters
    ----------
    http_port, grpc_port : int
        On this host.
    good_every : int
        After so many hostile requests :meth:`good` is called; 0: never.
    """

    def __init__(self, http_port: int, grpc_port: int, *, good_every: int = 50) -> None:
        self._http = "127.0.0.1", http_port
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self._memory = SharedMemory(create=True, size=4096)
        self._sent = 0
        self._good_every = good_every
        self._values = np.arange(7, dtype=np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._memory.close()
        self._memory.unlink()

    def exchange(self, hostile: Exchange) -> int:
        """Send a request over HTTP, and return the status of the answer, which must not be one of a fault."""
        self._count()
        status, content = self._send(hostile.method, hostile.target, hostile.headers, hostile.body)
        if status not in _REFUSALS and not 200 <= status < 400:
            text = content.decode(errors="replace")
            # What a hostile configuration has made of a model, the model may fail on.
            failed = status == 500 and PLASTIC in hostile.target and _INTERNAL not in text
            expect(failed, f"status {status}: {text[:500]}")
        return status

    def call(self, hostile: Call) -> str:
        """Make a call over gRPC, and return the name of its code, which must not be one of a fault."""
        self._count()
        method = self._channel.unary_unary(f"/inference.GRPCInferenceService/{hostile.method}")
        try:
            method(hostile.request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            failed = code == "INTERNAL" and repr(PLASTIC) in text and _INTERNAL not in text
            late = code == "DEADLINE_EXCEEDED" and "deadline of" not in text
            expect((code in _CODES and not late) or failed, f"{code}: {text[:500]}")
            return str(code)
        return "OK"

    def stream(self, requests: Sequence[bytes]) -> None:
        """Send requests in one stream, each of which gets one answer: a response, or an error of its own."""
        self._count()
        method = self._channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        try:
            answers = [
                pb.ModelStreamInferResponse.FromString(data) for data in method(iter(requests), timeout=_TIMEOUT_S)
            ]
        except grpc.RpcError as error:
            raise FaultError(f"a stream of {len(requests)}: {error.code().name}: {error.details()}") from error
        expect(len(answers) == len(requests), f"{len(requests)} requests of a stream got {len(answers)} answers")
        for answer in answers:
            expect(_INTERNAL not in answer.error_message, answer.error_message[:500])

    def raw(self, data: bytes, port: int) -> None:
        """Send bytes to a port, and read what comes until the server has had enough or says no more."""
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
            except ConnectionError:
                return  # which is an answer too
            except TimeoutError:
                raise FaultError("a connection that its client has closed stays open") from None

    def good(self) -> None:
        """Ask for what is right: over HTTP and gRPC, with shared memory too. What was unloaded is loaded again."""
        self._restore()
        request = InferRequest(STEADY, {"in0": self._values}, outputs=("out0",))
        body, length = http_codec.request_to_wire(request)
        status, content = self._send(
            "POST", f"/v2/models/{STEADY}/infer", {http_codec.HEADER_LENGTH: str(length)}, body
        )
        expect(
            status == 200 and content.endswith(self._values.tobytes()), f"a good request: {status} {content[:500]!r}"
        )
        method = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            answer = method(grpc_codec.request_to_wire(request), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise FaultError(f"a good call: {error.code().name}: {error.details()}") from error
        back = grpc_codec.response_from_wire(answer).outputs["out0"]
        expect(back.tolist() == self._values.tolist(), f"a good call gave {back}")
        shared: Any = pb.ModelInferRequest(model_name=STEADY)
        for tensor in (shared.inputs.add(name="in0", datatype="FP32", shape=[7]), shared.outputs.add(name="out0")):
            tensor.parameters["shared_memory_region"].string_param = REGION
            tensor.parameters["shared_memory_byte_size"].int64_param = 28
        shared.outputs[0].parameters["shared_memory_offset"].int64_param = 1024
        self._memory.buf[:28] = self._values.tobytes()
        try:
            method(shared.SerializeToString(), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise FaultError(f"a good call with shared memory: {error.code().name}: {error.details()}") from error
        expect(bytes(self._memory.buf[1024:1052]) == self._values.tobytes(), "not what was put into shared memory")

    def _count(self) -> None:
        self._sent += 1
        if self._good_every and self._sent % self._good_every == 0:
            self.good()

    def _restore(self) -> None:
        for name in MODELS:
            status, content = self._send("POST", f"/v2/repository/models/{name}/load", {}, b"")
            expect(status == 200, f"model {name} could not be loaded: {status} {content!r}")
        path = f"/v2/systemsharedmemory/region/{REGION}"
        document = {"key": self._memory.name, "offset": 0, "byte_size": 4096}
        self._send("POST", f"{path}/unregister", {}, b"")
        status, content = self._send("POST", f"{path}/register", {}, json.dumps(document).encode())
        expect(status == 200, f"shared memory could not be registered: {content!r}")

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        fields = {"Host": "localhost", **headers, "Content-Length": str(len(body)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with socket.create_connection(self._http, timeout=_TIMEOUT_S) as connection:
            try:
                connection.sendall(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
                connection.sendall(body)
            except ConnectionError:
                pass  # it may answer before it has read all
            answer = http.client.HTTPResponse(connection, method=method)
            try:
                answer.begin()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError) as error:
                raise FaultError(f"no answer: {type(error).__name__}: {error}") from error
            except TimeoutError:
                raise FaultError(f"no answer within {_TIMEOUT_S:g} s") from None
