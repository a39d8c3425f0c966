from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

import sonic
from sonic.client.grpc import GrpcTransport
from sonic.errors import InvalidRequest, ModelFailed, Unavailable
from sonic.protocol import grpc_codec
from sonic.protocol.messages import InferResponse
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.testing.conformance import WAIT_S, RemoteTransportConformance, echo_request, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.client.transport import Transport
    from sonic.errors import InferenceError
    from sonic.server.app import Server


class TestGrpcTransport(RemoteTransportConformance):
    @pytest.fixture
    def transport(self, server: Server) -> Iterator[Transport]:
        transport = GrpcTransport(server.grpc_url.removeprefix("grpc://"))
        yield transport
        transport.close()

    @pytest.fixture
    def connect(self) -> Callable[[str], Transport]:
        return GrpcTransport

    def test_url(self, server: Server, transport: Transport) -> None:
        assert transport.url == server.grpc_url


def serving(**methods: Callable) -> tuple[grpc.Server, GrpcTransport]:
    """A server of some methods, which get bytes and the context and return bytes."""
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, GrpcTransport(f"127.0.0.1:{port}")


def aborting(code: grpc.StatusCode, text: str) -> Callable:
    return lambda data, context: context.abort(code, text)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "no input 'x'", InvalidRequest),
        (grpc.StatusCode.INTERNAL, "it broke\nbadly", ModelFailed),
        (grpc.StatusCode.UNAVAILABLE, "queue is full", Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", Unavailable),
    ],
)
def test_codes_become_errors_of_the_tree(code: grpc.StatusCode, text: str, kind: type[InferenceError]) -> None:
    server, transport = serving(ModelInfer=aborting(code, text), ModelMetadata=aborting(code, text))
    error = error_of(transport.submit(echo_request()))
    assert type(error) is kind
    assert " ".join(text.split()) in str(error)
    assert (transport.url in str(error)) == kind.retryable
    with pytest.raises(kind):
        transport.model_spec("echo")
    transport.close()
    server.stop(0)


def test_a_request_that_the_server_drops_was_not_given_up_by_its_owner() -> None:
    server, transport = serving(ModelInfer=lambda data, context: context.cancel())
    error = error_of(transport.submit(echo_request()))
    assert isinstance(error, Unavailable)
    assert str(error) == f"{transport.url}: the server, or a proxy, dropped the request"
    transport.close()
    server.stop(0)


def test_an_unreadable_answer_is_the_servers_fault() -> None:
    server, transport = serving(ModelInfer=lambda data, context: b"\x0a\x05abc")
    assert isinstance(error_of(transport.submit(echo_request())), ModelFailed)
    transport.close()
    server.stop(0)


def test_a_server_without_model_configurations() -> None:
    metadata = pb.ModelMetadataResponse(name="m", versions=["3"], platform="other")
    metadata.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
    server, transport = serving(ModelMetadata=lambda data, context: metadata.SerializeToString())
    spec = transport.model_spec("m")
    assert (spec.version, spec.max_batch_size, spec.inputs[0].shape) == ("3", 0, (-1, 2))
    transport.close()
    server.stop(0)


def test_the_deadline_travels_to_the_server() -> None:
    seen: list[float | None] = []

    def infer(data: bytes, context: grpc.ServicerContext) -> bytes:
        seen.extend([grpc_codec.request_from_wire(data)[0].timeout_s, context.time_remaining()])
        return grpc_codec.response_to_wire(InferResponse("echo", "1", {}))

    server, transport = serving(ModelInfer=infer)
    transport.submit(echo_request(timeout_s=30.0)).result(WAIT_S)
    assert seen[0] == 30.0
    assert seen[1] is not None
    assert 20 < seen[1] <= 31
    transport.close()
    server.stop(0)


def test_a_server_that_comes_back_is_found_again(models: Path, free_port: int) -> None:
    with sonic.serve(models, grpc_port=free_port):
        transport = GrpcTransport(f"127.0.0.1:{free_port}")
        assert transport.submit(echo_request()).result(WAIT_S)
    assert isinstance(error_of(transport.submit(echo_request())), Unavailable)
    with sonic.serve(models, grpc_port=free_port):
        grpc.channel_ready_future(transport._channel).result(WAIT_S)
        assert transport.submit(echo_request()).result(WAIT_S)
    transport.close()
