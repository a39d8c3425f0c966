"""Connections as other clients than gRPC's make them, and calls that no client of ours makes."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import h2.connection
import h2.events
import h2.settings
import numpy as np
import pytest

from sonic.protocol import grpc_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto import reflection_pb2
from sonic.server.busypoll import BusyPoll
from sonic.server.grpc import connection, streaming, wire
from sonic.server.http2 import frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
HEAD = {":method": "POST", ":scheme": "http", ":authority": "x", "content-type": "application/grpc"}


def request(rows: int = 1, model: str = "a", name: str = "", columns: int = 4) -> bytes:
    return grpc_codec.request_to_wire(InferRequest(model, {"x": np.ones((rows, columns), np.float32)}, id=name))


def channel(server: Any, **options: Any) -> grpc.Channel:
    settings = [(f"grpc.{name}", value) for name, value in options.items()]
    return grpc.insecure_channel(server.grpc_url.removeprefix("grpc://"), settings)


class Raw:
    """A client that sends what it is told."""

    def __init__(self, server: Any) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.grpc_port), timeout=10)
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()

    def call(self, path: str, body: bytes = b"", **head: str) -> dict[str, str]:
        """Headers and trailers of the answer; with ``RST`` what it was reset with."""
        stream = self.h2.get_next_available_stream_id()
        given = {":path": path, **HEAD} | {name.replace("_", "-"): value for name, value in head.items()}
        self.h2.send_headers(stream, [*given.items()], end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.socket.sendall(self.h2.data_to_send())
        answer: dict[str, str] = {}
        while True:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    answer |= {name.decode(): value.decode() for name, value in event.headers}
                if isinstance(event, h2.events.StreamEnded):
                    return answer

    def stream(self, messages: Iterable[bytes]) -> int:
        """Send the messages of a whole stream at once; return its number."""
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [*{":path": STREAM, **HEAD}.items()])
        for data in messages:
            self.h2.send_data(stream, wire.prefix(len(data)) + data)
        self.h2.end_stream(stream)
        self.socket.sendall(self.h2.data_to_send())
        return stream


def frames_of(connection: socket.socket) -> Iterator[tuple[int, int, int]]:
    """Kind, length and flags of the frames that come."""
    with connection.makefile("rb") as stream:
        while head := stream.read(frames.HEAD_BYTES):
            length, kind, flags, _ = frames.read_head(head, 0)
            stream.read(length)
            yield kind, length, flags


@pytest.fixture
def raw(folder: Any, serve: Any) -> Iterator[Raw]:
    folder.onnx("a")
    client = Raw(serve(folder))
    yield client
    client.socket.close()


def test_what_is_no_call_of_grpc(raw: Raw) -> None:
    assert raw.call("/", **{":method": "GET"}) == {":status": "405"}
    assert raw.call(INFER, **{"content-type": "text/plain"}) == {":status": "415"}
    assert raw.call("/no.Such/Method")["grpc-status"] == "12"


def test_a_fault_in_letting_a_call_in_ends_that_call_alone(folder: Any, serve: Any) -> None:
    def admit(*_: object) -> None:
        raise RuntimeError("a key of a kind that nobody knows")

    folder.onnx("a")
    raw = Raw(serve(folder, guard=SimpleNamespace(admit=admit)))
    answer = raw.call(INFER, b"\0\0\0\0\0")
    assert (answer["grpc-status"], "RuntimeError" in answer["grpc-message"]) == ("13", True)
    assert raw.call("/inference.GRPCInferenceService/ServerLive", b"\0\0\0\0\0")["grpc-status"] == "0"
    raw.socket.close()


@pytest.mark.parametrize(
    ("body", "head", "text"),
    [
        (b"", {}, "has one message, given none"),
        (b"\0\0\0\0", {}, "ends within a message"),
        (b"\0\0\0\0\x09abc", {}, "ends within a message"),
        (b"\7\0\0\0\0", {}, "begins with 0 or 1, given 7"),
        (b"\0\0\0\0\0" * 2, {}, "has one message, given several"),
        (b"\1\0\0\0\1x", {"grpc_encoding": "gzip"}, "is not one whole gzip stream"),
        (b"\0\0\0\0\0", {"grpc_timeout": "soon"}, "grpc-timeout is up to eight digits"),
    ],
)
def test_calls_that_make_no_sense(raw: Raw, body: bytes, head: dict[str, str], text: str) -> None:
    answer = raw.call(INFER, body, **head)
    assert (answer["grpc-status"], text in answer["grpc-message"]) == ("3", True)
    assert raw.call("/inference.GRPCInferenceService/ServerLive", b"\0\0\0\0\0")["grpc-status"] == "0"


def test_who_asks_without_reading_the_answers_is_asked_to_read_them(raw: Raw) -> None:
    method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService")
    question = asked.SerializeToString()
    framed = wire.prefix(len(question)) + question
    assert raw.call(method, framed * 2)["grpc-status"] == "0"
    ended = raw.call(method, framed * 1000)  # twenty megabytes of answers, of which h2 takes 64 kB
    assert (ended["grpc-status"], ended["grpc-message"]) == ("3", "too much is asked before the answers are read")


def test_an_encoding_that_nobody_knows(raw: Raw) -> None:
    answer = raw.call(INFER, b"\1\0\0\0\1x", grpc_encoding="snappy")
    assert (answer["grpc-status"], answer["grpc-accept-encoding"]) == ("12", "identity,gzip,deflate")


def test_bytes_that_are_no_http2(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    with socket.create_connection(("127.0.0.1", serve(folder).grpc_port), timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while peer.recv(65536):
            pass


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
@pytest.mark.parametrize("columns", [4, 20_000, 1_500_000])
def test_requests_of_every_size(columns: int, compression: Any, folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    x = np.random.default_rng(1).random(columns, np.float32)
    with channel(serve(folder), max_receive_message_length=-1) as opened:
        call = opened.unary_unary(INFER)
        data = grpc_codec.request_to_wire(InferRequest("i", {"in0": x}))
        answer = grpc_codec.response_from_wire(call(data, timeout=30, compression=compression))
    np.testing.assert_array_equal(answer.outputs["out0"], x)


def test_a_client_that_says_nothing_is_cut_off(folder: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_BEGIN_S", 0.01)
    folder.onnx("a")
    with socket.create_connection(("127.0.0.1", serve(folder).grpc_port), timeout=10) as peer:
        while peer.recv(65536):
            pass


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_stream_of_messages_of_every_size(compression: Any, folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    sizes = [4, 1_500_000, 1, 20_000, 4, 4, 1_500_000, 2]

    def requests() -> Iterator[bytes]:
        for n, size in enumerate(sizes):
            yield grpc_codec.request_to_wire(InferRequest("i", {"in0": np.full(size, n, np.float32)}, id=str(n)))

    with channel(serve(folder), max_receive_message_length=-1) as opened:
        answers = opened.stream_stream(STREAM)(requests(), timeout=60, compression=compression)
        came = [grpc_codec.stream_from_wire(answer) for answer in answers]
    assert [answer.id for answer in came] == [str(n) for n in range(len(sizes))]
    for n, answer in enumerate(came):
        np.testing.assert_array_equal(answer.outputs["out0"], np.full(sizes[n], n, np.float32))


@pytest.mark.parametrize("path", [INFER, STREAM])
def test_nothing_is_decompressed_or_slowly_decoded_where_others_wait(
    path: str, folder: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    for module, name in ((wire, "decompress"), (grpc_codec, "request_from_wire")):
        real = getattr(module, name)

        def noted(*given: Any, _real: Any = real) -> Any:
            threads.append(threading.current_thread().name)
            return _real(*given)

        monkeypatch.setattr(module, name, noted)
    folder.identity("i", "FP32")
    x = np.ones(20_000, np.float32)
    typed = pb.ModelInferRequest(model_name="i")
    typed.inputs.add(name="in0", datatype="FP32", shape=x.shape).contents.fp32_contents.extend(x)
    with channel(serve(folder)) as opened:
        for data, compression in (
            (grpc_codec.request_to_wire(InferRequest("i", {"in0": x})), grpc.Compression.Gzip),
            (typed.SerializeToString(), grpc.Compression.NoCompression),
        ):
            if path == INFER:
                answer = grpc_codec.response_from_wire(opened.unary_unary(path)(data, 60, compression=compression))
            else:
                (one,) = opened.stream_stream(path)(iter([data]), 60, compression=compression)
                answer = grpc_codec.stream_from_wire(one)
            np.testing.assert_array_equal(answer.outputs["out0"], x)
    assert len(threads) == 3
    assert all(name.startswith("sonic-grpc_") for name in threads)


@pytest.mark.parametrize(("encoding", "status"), [("gzip", "3"), ("snappy", "12")])
def test_a_stream_with_a_message_that_nobody_can_decompress(
    encoding: str, status: str, folder: Any, serve: Any
) -> None:
    folder.onnx("a")
    raw = Raw(serve(folder))
    assert raw.call(STREAM, b"\1\0\0\0\4junk", grpc_encoding=encoding)["grpc-status"] == status
    raw.socket.close()


def test_a_stream_with_more_requests_than_may_be_under_way(
    folder: Any, serve: Any, script: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FEWEST_UNDER_WAY", 4)
    monkeypatch.setattr(streaming, "MOST_UNDER_WAY", 8)
    folder.scripted(batching="", batch=1)
    server = serve(folder)
    (model,) = server.dataplane.models()
    turns = threading.Semaphore(0)
    script.run = lambda x: {"y": 2 * x} if turns.acquire(timeout=10) else None
    raw = Raw(server)
    raw.stream(request(1, "scripted", str(n), 2) for n in range(100))
    live = "/inference.GRPCInferenceService/ServerLive"
    assert raw.call(live, b"\0\0\0\0\0")["grpc-status"] == "0"  # what was sent before it has been dealt with
    script.wait_started()
    assert model.pending == 3  # and one is executed
    turns.release()
    until(lambda: model.pending == 7)
    assert raw.call(live, b"\0\0\0\0\0")["grpc-status"] == "0"
    assert model.pending == 7
    turns.release(99)
    until(lambda: len(script.batches) == 100)
    assert server.dataplane.drain(10)
    raw.socket.close()


def test_a_stream_in_order_with_more_requests_than_may_be_under_way(
    folder: Any, serve: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FEWEST_UNDER_WAY", 4)
    monkeypatch.setattr(streaming, "MOST_UNDER_WAY", 8)
    folder.scripted()
    server = serve(folder)
    script.hold()
    with channel(server) as opened:
        answers = opened.stream_stream(STREAM)((request(1, "scripted", str(n), 2) for n in range(100)), timeout=60)
        script.wait_started()
        script.release()
        names = [grpc_codec.stream_from_wire(answer).id for answer in answers]
    assert names == [str(n) for n in range(100)]


def test_a_stream_whose_client_does_not_read(
    folder: Any, serve: Any, script: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FEWEST_UNDER_WAY", 4)
    monkeypatch.setattr(streaming, "MAX_QUEUED_BYTES", 10)
    folder.scripted(batching="", batch=1)
    server = serve(folder)
    (model,) = server.dataplane.models()
    raw = Raw(server)
    raw.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    sent = raw.stream(request(1, "scripted", str(n), 2) for n in range(50))
    until(lambda: script.batches)
    raw.call("/inference.GRPCInferenceService/ServerLive", b"\0\0\0\0\0")
    assert len(script.batches) + model.pending <= 5  # where the first was answered before the last had come
    raw.h2.increment_flow_control_window(100_000, sent)
    raw.socket.sendall(raw.h2.data_to_send())
    until(lambda: len(script.batches) == 50)
    raw.socket.close()


def test_a_stream_whose_client_reads_late(folder: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_QUEUED_BYTES", 1000)
    folder.identity("i", "FP32")
    x = np.ones(100_000, np.float32)
    data = grpc_codec.request_to_wire(InferRequest("i", {"in0": x}))
    with channel(serve(folder)) as opened:
        answers = opened.stream_stream(STREAM)((data for _ in range(50)), timeout=60)
        sizes = {grpc_codec.stream_from_wire(answer).outputs["out0"].size for answer in answers}
    assert sizes == {100_000}


def test_a_stream_that_is_given_up(folder: Any, serve: Any, script: Any, until: Any) -> None:
    folder.scripted()
    server = serve(folder)
    script.hold()

    def requests() -> Iterator[bytes]:
        for number in range(3):
            yield request(1, "scripted", "", 2)
            if not number:
                script.wait_started()

    with channel(server) as opened:
        answers = opened.stream_stream(STREAM)(requests(), timeout=60)
        (model,) = server.dataplane.models()
        until(lambda: model.pending == 2)
        answers.cancel()
        until(lambda: model.pending == 0)
    script.release()
    assert server.dataplane.drain(10)
    assert script.batches == [1]


def test_a_client_that_vanishes_takes_its_requests_along(folder: Any, serve: Any, script: Any, until: Any) -> None:
    folder.scripted()
    server = serve(folder)
    script.hold()
    holder = server.dataplane.infer(InferRequest("scripted", {"x": np.ones((1, 2), np.float32)}), inline=False)
    script.wait_started()
    (model,) = server.dataplane.models()
    client = Raw(server)
    body = request(1, "scripted", "", 2)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, [*{":path": INFER, **HEAD}.items()])
    client.h2.send_data(stream, b"\0" + len(body).to_bytes(4, "big") + body, end_stream=True)
    client.socket.sendall(client.h2.data_to_send())
    until(lambda: model.pending == 1)
    client.socket.close()
    until(lambda: model.pending == 0)
    script.release()
    assert holder.result(10)


def test_the_end_of_a_server_waits_for_answers_and_not_for_idle_clients(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    idle = Raw(server)
    assert idle.call("/inference.GRPCInferenceService/ServerLive", b"\0\0\0\0\0")["grpc-status"] == "0"
    assert server.close()
    events: list[Any] = []
    while data := idle.socket.recv(65536):
        events += idle.h2.receive_data(data)
    assert any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
    idle.socket.close()


def test_the_end_of_a_server_waits_for_answers_that_are_being_sent(folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    server = serve(folder)
    gone = Raw(server)  # there was a moment when nobody was connected
    gone.call("/inference.GRPCInferenceService/ServerLive", b"\0\0\0\0\0")
    gone.socket.close()
    slow = Raw(server)
    body = grpc_codec.request_to_wire(InferRequest("i", {"in0": np.ones(1000, np.float32)}))
    slow.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
    slow.h2.send_headers(1, [*({":path": INFER} | HEAD).items()])
    slow.h2.send_data(1, wire.prefix(len(body)) + body, end_stream=True)
    slow.socket.sendall(slow.h2.data_to_send())
    came = frames_of(slow.socket)
    assert next(length for kind, length, _ in came if kind == frames.DATA) == 100
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(server.close)
        assert next(kind for kind, *_ in came if kind != frames.DATA) == frames.GOAWAY
        with pytest.raises(TimeoutError):
            closed.result(0.2)
        slow.socket.sendall(frames.window_update(1, 10_000))
        rest = [*came]
        assert closed.result(10)
    assert sum(length for kind, length, _ in rest if kind == frames.DATA) > 3900
    assert (rest[-1][0], rest[-1][2] & frames.END_STREAM) == (frames.HEADERS, frames.END_STREAM)
    slow.socket.close()


class Transport(asyncio.Transport):
    def __init__(self, address: Any) -> None:
        super().__init__({"peername": address})
        self.done: list[str] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return "closed" in self.done

    def pause_reading(self) -> None:
        self.done.append("paused")

    def resume_reading(self) -> None:
        self.done.append("resumed")


def test_who_does_not_read_is_not_read() -> None:
    async def talk() -> list[str]:
        transport = Transport(None)
        with ThreadPoolExecutor(1) as pool:
            shared = connection.Shared({}, asyncio.get_running_loop(), pool, BusyPoll(0.0, lambda call: None))
            made = connection.GrpcConnection(shared)
            made.connection_made(transport)
            made.pause_writing()
            made.resume_writing()
            transport.done.append("closed")
            made.resume_writing()
            made.connection_lost(None)
            made.pause_writing()
        return transport.done

    assert asyncio.run(talk()) == ["paused", "resumed", "closed"]


def test_who_has_gone_already_is_not_local() -> None:
    async def peers() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            shared = connection.Shared({}, asyncio.get_running_loop(), pool, BusyPoll(0.0, lambda call: None))
            made = [connection.GrpcConnection(shared) for _ in range(2)]
            for each, address in zip(made, (None, "/tmp/a.sock"), strict=True):
                each.connection_made(Transport(address))
                each.connection_lost(None)
        return [each.peer for each in made]

    assert asyncio.run(peers()) == ["unknown", ""]
