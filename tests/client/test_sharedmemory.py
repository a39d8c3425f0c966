from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from sonic.client.grpc import GrpcTransport
from sonic.client.http import HttpTransport
from sonic.client.lender import Lender
from sonic.client.segments import available
from sonic.client.settings import ClientSettings
from sonic.client.sharedmemory import SharedMemoryTransport, share
from sonic.client.url import parse_server
from sonic.errors import Cancelled, DeadlineExceeded, InvalidRequest, ModelFailed, Unavailable, Unsupported
from sonic.protocol import grpc_codec
from sonic.protocol.form import Span
from sonic.protocol.messages import InferRequest
from sonic.protocol.ownership import FOLDER
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.tensors import same_bits
from sonic.specs import DType
from sonic.testing.conformance import (
    BATCHING,
    KINDS,
    WAIT_S,
    RemoteTransportConformance,
    TransportConformance,
    echo_request,
    error_of,
)
from sonic.testing.memory import FakeMemoryServer
from sonic.testing.strategies import infer_requests
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from sonic.client.sharedmemory import PlacingTransport
    from sonic.client.transport import Transport
    from sonic.protocol.form import Placement
    from sonic.protocol.messages import InferResponse
    from sonic.server.app import Server
    from sonic.testing.memory import Arrived

pytestmark = pytest.mark.skipif(not available(), reason="this system has no folder of shared memory")

TEXTS = np.array([b"", b"\xff\0", "\u00e9".encode()], object)


def sharing(inner: PlacingTransport, min_bytes: int = 1, max_bytes: int = 1 << 30) -> SharedMemoryTransport:
    return SharedMemoryTransport(inner, Lender(inner, lambda: True, max_bytes), min_bytes)


def warm(transport: SharedMemoryTransport, regions: int = 4) -> SharedMemoryTransport:
    """Have regions made, as requests would that are under way at once."""
    lender = transport._lender
    leases = []
    while len(leases) < regions:
        lease = lender.take(1 << 15)
        if lease is not None:
            leases.append(lease)
        assert lender.settle(WAIT_S)
    for lease in leases:
        lender.give_back(lease, answered=False)
    return transport


def forgotten(
    fake: FakeMemoryServer, transport: SharedMemoryTransport, timeout_s: float | None = None
) -> tuple[Future[InferResponse], Arrived]:
    """Send a request whose memory the server forgets while it has it; return what the server has of it, too."""
    fake.holding = True
    future = transport.submit(echo_request(timeout_s=timeout_s))
    first = fake.waiting.get(timeout=WAIT_S)
    fake.memory.unregister()
    return future, first


def placements(transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch) -> list[Placement | None]:
    """What is said to the transport below about the places of tensors, from now on."""
    said: list[Placement | None] = []
    submit = transport._inner.submit

    def listen(request: InferRequest, placement: Placement | None = None) -> object:
        said.append(placement)
        return submit(request, placement)

    monkeypatch.setattr(transport._inner, "submit", listen)
    return said


class ThroughMemory(TransportConformance):
    """The suite with regions at hand, so that every request has its tensors in shared memory."""

    def test_all_that_can_be_placed_is(self, transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        said = placements(transport, monkeypatch)
        for _ in range(2):
            self.test_every_datatype(transport)
        first, second = said
        assert first is not None
        assert second is not None
        assert first.inputs.keys() == second.inputs.keys() == {t.name for t in KINDS.inputs}
        assert first.outputs == {}, "nothing was known of the answer"
        assert second.outputs.keys() == {t.name for t in KINDS.outputs if t.dtype is not DType.BYTES}
        assert transport.memory_use.requests == 2

    def test_some_of_the_outputs(self, transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        said = placements(transport, monkeypatch)
        for _ in range(2):
            self.test_only_the_outputs_wanted(transport)
        assert said[1] is not None
        assert list(said[1].outputs) == ["m"]

    def test_an_answer_is_not_changed_by_the_next(self, transport: SharedMemoryTransport) -> None:
        answers = []
        for number in range(6):
            request = echo_request()
            request.inputs["x"][:] = number
            answers.append(transport.submit(request).result(WAIT_S).outputs["y"])
        assert [float(answer.max()) for answer in answers] == [0, 1, 2, 3, 4, 5]

    def test_texts_are_the_same_each_time(self, transport: SharedMemoryTransport) -> None:
        inputs = {t.name: np.empty(0, t.dtype.numpy) for t in KINDS.inputs} | {"in_BYTES": TEXTS}
        for _ in range(3):
            answer = transport.submit(InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})).result(WAIT_S)
            assert answer.outputs["out_BYTES"].tolist() == TEXTS.tolist()


class TestOverGrpc(ThroughMemory, RemoteTransportConformance):
    @pytest.fixture
    def transport(self, server: Server) -> Iterator[Transport]:
        transport = warm(sharing(GrpcTransport(server.grpc_url.removeprefix("grpc://"))))
        yield transport
        transport.close()

    @pytest.fixture
    def connect(self) -> Callable[[str], Transport]:
        return lambda target: sharing(GrpcTransport(target))


class TestOverHttp(ThroughMemory):
    @pytest.fixture
    def transport(self, server: Server) -> Iterator[Transport]:
        transport = warm(sharing(HttpTransport(server.http_url.removeprefix("http://"))))
        yield transport
        transport.close()


def echo(request: InferRequest) -> dict[str, np.ndarray]:
    renamed = {"x": "y", "n": "m"} | {t.name: t.name.replace("in_", "out_") for t in KINDS.inputs}
    outputs = {renamed[name]: array.copy() for name, array in request.inputs.items()}
    return {name: array for name, array in outputs.items() if not request.outputs or name in request.outputs}


@pytest.fixture
def fake() -> FakeMemoryServer:
    return FakeMemoryServer([BATCHING], echo)


@pytest.fixture
def transport(fake: FakeMemoryServer) -> Iterator[SharedMemoryTransport]:
    transport = warm(sharing(fake), 1)
    yield transport
    transport.close()


def region(fake: FakeMemoryServer, index: int = -1) -> str:
    """Name of the region that a request came in."""
    placement = fake.arrived[index].placement
    assert placement is not None
    return next(iter(placement.inputs.values())).region


def test_small_requests_go_over_the_wire_and_cost_nothing(fake: FakeMemoryServer) -> None:
    transport = sharing(fake, min_bytes=1000)
    for rows in (2, 2, 3, 8, 2):
        transport.submit(echo_request(rows)).result(WAIT_S)
    assert fake.registered == []
    assert all(arrived.placement is None for arrived in fake.arrived)
    assert transport.memory_use.over_wire == 0
    transport.close()


def test_a_large_answer_to_a_small_request_is_placed() -> None:
    fake = FakeMemoryServer([], lambda request: {"y": np.arange(50_000.0)})
    transport = sharing(fake, min_bytes=100_000)
    for _ in range(3):
        answer = transport.submit(InferRequest("toys", {"count": np.array([50_000])})).result(WAIT_S)
        assert same_bits(answer.outputs["y"], np.arange(50_000.0))
        assert transport._lender.settle(WAIT_S)
    assert [arrived.placement is not None for arrived in fake.arrived] == [False, False, True]
    assert region(fake) in fake.registered
    transport.close()


def test_an_answer_that_is_larger_than_expected_comes_over_the_wire() -> None:
    sizes = iter([10, 10, 20, 20, 20, 30, 30, 30])
    fake = FakeMemoryServer([], lambda request: {"y": np.arange(1000.0 * next(sizes))})
    transport = warm(sharing(fake), 1)
    request, got = InferRequest("toys", {"x": np.zeros(3)}), []
    for _ in range(5):
        got.append(transport.submit(request).result(WAIT_S).outputs["y"].size)
        assert transport._lender.settle(WAIT_S)
    assert got == [10_000, 10_000, 20_000, 20_000, 30_000]
    assert next(sizes) == 30, "twice the model was executed for nothing"
    assert transport.memory_use.reason == ""
    transport.close()


def test_hedges_have_a_region_each_and_the_loser_s_is_not_touched() -> None:
    fakes = [FakeMemoryServer([BATCHING], echo, f"fake:{name}") for name in "ab"]
    slow, quick = transports = [warm(sharing(fake), 1) for fake in fakes]
    fakes[0].holding = True
    request = echo_request()
    first = slow.submit(request)
    second = quick.submit(request)
    assert same_bits(second.result(WAIT_S).outputs["y"], request.inputs["x"])
    first.cancel()
    lost = fakes[0].waiting.get(timeout=WAIT_S)
    assert region(fakes[0]) != region(fakes[1])
    assert not (FOLDER / region(fakes[0])).exists()
    reads = fakes[0].memory.view(lost.placement.inputs["x"]) if fakes[0].memory.status() else None  # type: ignore[union-attr]
    fakes[0].holding = False
    for number in range(5):  # which find regions of their own
        other = echo_request()
        other.inputs["x"][:] = number
        slow.submit(other).result(WAIT_S)
        assert slow._lender.settle(WAIT_S)
    if reads is not None:
        assert bytes(reads) == request.inputs["x"].tobytes(), "the slow server still reads what it was sent"
    assert region(fakes[0], 0) not in {
        next(iter(arrived.placement.inputs.values())).region for arrived in fakes[0].arrived[1:] if arrived.placement
    }
    for transport in transports:
        transport.close()


@pytest.mark.parametrize("error", [DeadlineExceeded("no answer"), Unavailable("it broke"), ModelFailed("it raised")])
def test_a_region_of_which_nobody_knows_is_never_used_again(
    fake: FakeMemoryServer, transport: SharedMemoryTransport, error: Exception
) -> None:
    fake.holding = True
    future = transport.submit(echo_request())
    arrived = fake.waiting.get(timeout=WAIT_S)
    name = region(fake)
    arrived.fail(error)  # type: ignore[arg-type]
    assert future.exception(WAIT_S) is error
    assert not (FOLDER / name).exists()
    assert transport._lender.settle(WAIT_S)
    assert fake.unregistered == [name]
    assert transport.memory_use.regions == 0


def test_a_region_is_used_again_after_an_error_that_the_request_brought_upon_itself(
    fake: FakeMemoryServer, transport: SharedMemoryTransport
) -> None:
    request = InferRequest("echo", {"x": np.zeros((1, 3), np.float32)}, outputs=("absent",))
    fake.outputs = lambda request: (_ for _ in ()).throw(InvalidRequest("no output 'absent'"))
    for _ in range(5):
        assert str(error_of(transport.submit(request))) == "no output 'absent'"
    fake.outputs = echo
    transport.submit(echo_request()).result(WAIT_S)
    assert len({region(fake, index) for index in range(0, 11, 2)}) == 1
    assert transport.memory_use.reason == ""


def test_a_server_started_anew_is_told_of_regions_again(
    fake: FakeMemoryServer, transport: SharedMemoryTransport
) -> None:
    request = echo_request()
    transport.submit(request).result(WAIT_S)
    before = region(fake)
    fake.memory.unregister()
    answer = transport.submit(request).result(WAIT_S)  # of which the caller notices nothing
    assert same_bits(answer.outputs["y"], request.inputs["x"])
    assert fake.arrived[-1].placement is None
    warm(transport, 1)
    transport.submit(request).result(WAIT_S)
    assert region(fake) != before


def test_a_server_that_lies_is_found_out(fake: FakeMemoryServer) -> None:
    fake.lying = True
    transport = sharing(fake)
    request = echo_request()
    for _ in range(10):
        assert same_bits(transport.submit(request).result(WAIT_S).outputs["y"], request.inputs["x"])
        assert transport._lender.settle(WAIT_S)
    use = transport.memory_use
    assert (use.requests, len(fake.registered)) == (0, 3)
    assert "Unable to find shared memory region" in use.reason
    transport.close()


@pytest.mark.parametrize(
    "wrong", [Span("elsewhere", 0, 24), Span("", 1 << 40, 24), Span("", 0, 1 << 40)], ids=["region", "offset", "size"]
)
def test_outputs_are_read_from_their_places_alone(
    fake: FakeMemoryServer, transport: SharedMemoryTransport, wrong: Span
) -> None:
    request = echo_request()
    transport.submit(request).result(WAIT_S)
    fake.holding = True
    future = transport.submit(request)
    first = fake.waiting.get(timeout=WAIT_S)
    assert first.placement is not None
    assert first.placement.outputs.keys() == {"y", "m"}
    span = Span(wrong.region or region(fake), wrong.offset, wrong.byte_size)
    # What a server would answer that put an output where it was not asked to.
    message = pb.ModelInferResponse(model_name="echo", model_version="1")
    output = message.outputs.add(name="y", datatype="FP32", shape=[2, 3])
    for name, value in span.parameters().items():
        setattr(output.parameters[name], "string_param" if isinstance(value, str) else "int64_param", value)
    with pytest.raises(ModelFailed, match="cannot be read") as raised:
        grpc_codec.response_from_wire(message.SerializeToString(), first.placement.regions)
    first.fail(raised.value)
    second = fake.waiting.get(timeout=WAIT_S)
    assert second.placement is None
    second.answer()
    assert same_bits(future.result(WAIT_S).outputs["y"], request.inputs["x"])


def test_shared_memory_switched_off_at_the_server_meanwhile(
    fake: FakeMemoryServer, transport: SharedMemoryTransport
) -> None:
    transport.submit(echo_request()).result(WAIT_S)

    def off(request: InferRequest) -> dict[str, np.ndarray]:
        if fake.arrived[-1].placement is not None:
            raise Unsupported("shared memory is off")
        return echo(request)

    fake.outputs = off
    fake.refusal = Unsupported("shared memory is off")
    for _ in range(5):
        assert transport.submit(echo_request()).result(WAIT_S)
        assert transport._lender.settle(WAIT_S)
    use = transport.memory_use
    assert (use.requests, use.regions, use.reason) == (1, 0, "shared memory is off")


def test_the_time_that_is_left_goes_with_what_is_sent_once_more(fake: FakeMemoryServer) -> None:
    now = [100.0]
    transport = SharedMemoryTransport(fake, Lender(fake, lambda: True, 1 << 20), 1, clock=lambda: now[0])
    warm(transport, 1)
    future, first = forgotten(fake, transport, timeout_s=10.0)
    now[0] += 4
    first.answer()
    second = fake.waiting.get(timeout=WAIT_S)
    assert (first.read if second.placement else second.read)().timeout_s == pytest.approx(6.0)
    second.answer()
    assert future.result(WAIT_S).outputs
    transport.close()


def test_given_up_between_memory_and_wire(fake: FakeMemoryServer, transport: SharedMemoryTransport) -> None:
    future, first = forgotten(fake, transport)
    first.answer()
    second = fake.waiting.get(timeout=WAIT_S)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(WAIT_S)
    assert second.future.cancelled()


def test_closed_between_memory_and_wire(fake: FakeMemoryServer) -> None:
    transport = warm(sharing(fake), 1)
    future, first = forgotten(fake, transport)
    transport._lender._workers.close()
    first.answer()
    assert isinstance(error_of(future), Cancelled)
    transport.close()


def test_closed_while_it_waits_to_be_sent_over_the_wire(fake: FakeMemoryServer) -> None:
    transport = warm(sharing(fake), 1)
    future, first = forgotten(fake, transport)
    go = Event()
    for _ in range(10):  # whoever would send it is busy
        transport._lender.run(lambda: go.wait(WAIT_S))
    first.answer()
    assert not future.done()
    transport.close()
    assert isinstance(error_of(future), Cancelled)
    go.set()


@given(infer_requests())
@settings(max_examples=60, deadline=None)
def test_the_bits_are_those_of_the_wire(request: InferRequest) -> None:
    def answer(read: InferRequest) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in read.inputs.items()}

    request = replace(request, outputs=(), classes={}, timeout_s=None)
    fake = FakeMemoryServer([], answer)
    transport = warm(sharing(fake), 1)
    wired = fake.submit(request).result(WAIT_S)
    for _ in range(2):
        placed = transport.submit(request).result(WAIT_S)
        assert list(placed.outputs) == list(wired.outputs)
        for name, array in wired.outputs.items():
            assert same_bits(placed.outputs[name], array)
    transport.close()


def test_a_region_is_not_lost_with_a_request_that_cannot_be_sent(
    fake: FakeMemoryServer, transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(fake, "submit", lambda request, placement=None: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            transport.submit(echo_request())
    assert transport._lender.settle(WAIT_S)
    assert (transport.memory_use.regions, transport.memory_use.byte_size) == (0, 0)


def test_a_region_is_not_lost_with_a_copy_that_is_interrupted(
    transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sonic.client.sharedmemory.Loan.fill", interrupted)
    regions = transport._lender.use().regions
    with pytest.raises(KeyboardInterrupt):
        transport.submit(echo_request())
    assert not transport._lender._pool._lent
    assert transport._lender.use().regions == regions


def test_an_array_that_is_not_of_its_datatype_is_refused_as_on_the_wire(
    fake: FakeMemoryServer, transport: SharedMemoryTransport
) -> None:
    request = echo_request(dtypes={"x": DType.INT8})
    with pytest.raises(InvalidRequest) as wired:
        fake.submit(request)
    with pytest.raises(InvalidRequest) as placed:
        transport.submit(request)
    assert str(placed.value) == str(wired.value) == "numpy dtype float32 is not INT8"
    transport.submit(echo_request()).result(WAIT_S)
    assert transport.memory_use.regions == 1


def test_many_threads_and_models_at_once(server: Server) -> None:
    transport = sharing(GrpcTransport(server.grpc_url.removeprefix("grpc://")))

    def call(number: int) -> bool:
        if number % 3 == 0:
            inputs = {t.name: np.empty(0, t.dtype.numpy) for t in KINDS.inputs}
            inputs["in_INT64"] = np.full(20_000, number)
            request = InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})
            return bool((transport.submit(request).result(WAIT_S).outputs["out_INT64"] == number).all())
        request = echo_request(1 + number % 8)
        request.inputs["x"][:] = number
        return same_bits(transport.submit(request).result(WAIT_S).outputs["y"], request.inputs["x"])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(300)))
    use = transport.memory_use
    assert use.requests > 0
    assert use.requests + use.over_wire == 300
    transport.close()
    assert not server.dataplane.memory.status()


def test_only_transports_that_can_are_asked_to(fake: FakeMemoryServer) -> None:
    address = parse_server("grpc://localhost:8001")
    assert isinstance(share(fake, address, ClientSettings()), SharedMemoryTransport)
    assert share(fake, address, ClientSettings(shared_memory="never")) is fake
    other = FakeTransport([BATCHING], echo)
    assert share(other, address, ClientSettings(shared_memory="always")) is other


def test_by_force_small_requests_and_servers_elsewhere_too(fake: FakeMemoryServer) -> None:
    transport = share(fake, parse_server("grpc://192.0.2.1:8001"), ClientSettings(shared_memory="always"))
    assert isinstance(transport, SharedMemoryTransport)
    warm(transport, 1).submit(echo_request()).result(WAIT_S)
    assert region(fake) in fake.registered
    transport.close()


def test_a_server_elsewhere_is_left_alone(fake: FakeMemoryServer) -> None:
    transport = share(fake, parse_server("grpc://192.0.2.1:8001"), ClientSettings(shared_memory_min_bytes=1))
    assert isinstance(transport, SharedMemoryTransport)
    for _ in range(3):
        transport.submit(echo_request()).result(WAIT_S)
        assert transport._lender.settle(WAIT_S)
    assert fake.registered == []
    assert transport.memory_use.reason == "the server is not on this host"
    transport.close()
