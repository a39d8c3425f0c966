from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import TYPE_CHECKING

import grpc
import pytest

import sonic
from sonic.client.grpc import GrpcTransport
from sonic.client.transport import WaitingTransport
from sonic.errors import Cancelled, DeadlineExceeded, InvalidRequest, ModelFailed, Unavailable
from sonic.protocol import grpc_codec
from sonic.protocol.messages import InferResponse
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.tensors import same_bits
from sonic.testing.conformance import WAIT_S, RemoteTransportConformance, echo_request, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
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


# ---- answers that are brought by the thread that waits for them


def begun(transport: GrpcTransport, timeout_s: float | None = None) -> Future[InferResponse]:
    sent, bring = transport.begin(echo_request(timeout_s=timeout_s))
    assert bring is not None
    assert not sent.done()
    bring()
    assert sent.done()
    return sent


def test_whoever_waits_brings_the_answer(server: Server) -> None:
    transport = GrpcTransport(server.grpc_url.removeprefix("grpc://"))
    assert isinstance(transport, WaitingTransport)
    request = echo_request(timeout_s=WAIT_S)
    for _ in range(3):
        outputs = begun(transport, WAIT_S).result(0).outputs
        expected = transport.submit(request).result(WAIT_S).outputs
        assert list(outputs) == list(expected)
        assert all(same_bits(outputs[name], array) for name, array in expected.items())
    transport.close()
    sent, bring = transport.begin(request)
    assert bring is None
    assert isinstance(error_of(sent), Cancelled)


@pytest.mark.parametrize(
    ("infer", "kind"),
    [
        (aborting(grpc.StatusCode.INVALID_ARGUMENT, "no input"), InvalidRequest),
        (aborting(grpc.StatusCode.UNAVAILABLE, "queue is full"), Unavailable),
        (lambda data, context: context.cancel(), Unavailable),
        (lambda data, context: b"\x0a\x05abc", ModelFailed),
    ],
)
def test_what_goes_wrong_is_the_same_for_whoever_waits(infer: Callable, kind: type[InferenceError]) -> None:
    server, transport = serving(ModelInfer=infer)
    error = error_of(begun(transport))
    assert type(error) is kind
    assert str(error) == str(error_of(transport.submit(echo_request())))
    transport.close()
    server.stop(0)


@pytest.mark.parametrize("answers", [0, 2])
def test_no_answer_and_more_than_one_are_an_error_for_whoever_waits(answers: int) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    answer = grpc_codec.response_to_wire(InferResponse("echo", "1", {}))
    handler = grpc.unary_stream_rpc_method_handler(lambda data, context: iter([answer] * answers))
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    transport = GrpcTransport(f"127.0.0.1:{port}")
    error = error_of(begun(transport))
    assert type(error) is ModelFailed
    assert ("no answer" if answers == 0 else "more than one answer") in str(error)
    transport.close()
    server.stop(0)


@pytest.mark.parametrize("how", ["cancel", "close", "deadline"])
def test_somebody_who_waits_is_let_go(how: str) -> None:
    there, over = Event(), Event()

    def infer(data: bytes, context: grpc.ServicerContext) -> bytes:
        there.set()
        over.wait(WAIT_S)
        return b""

    server, transport = serving(ModelInfer=infer)
    sent, bring = transport.begin(echo_request(timeout_s=0.3 if how == "deadline" else None))
    assert bring is not None
    waiting = Thread(target=bring)
    waiting.start()
    try:
        assert there.wait(WAIT_S)
        if how == "cancel":
            assert sent.cancel()
        elif how == "close":
            transport.close()
        waiting.join(WAIT_S)
        assert not waiting.is_alive()
        expected = {"cancel": Cancelled, "close": Cancelled, "deadline": DeadlineExceeded}[how]
        assert sent.cancelled() if how == "cancel" else type(error_of(sent)) is expected
    finally:
        over.set()
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
