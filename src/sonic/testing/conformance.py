"""What every transport does, as a suite of tests that each implementation's tests subclass. Needs pytest.

A subclass defines a fixture ``transport`` that leads to a server of the models of :func:`write_models`::

    class TestMyTransport(TransportConformance):
        @pytest.fixture
        def transport(self, server):
            return MyTransport(f"localhost:{server.port}")
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from sonic.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InvalidRequest,
    ModelNotFound,
    Unavailable,
)
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import to_spec
from sonic.protocol.tensors import same_bits
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferResponse

WAIT_S = 20.0
"""How long a test waits for what must happen."""

BATCHING = ModelSpec(
    "echo",
    "1",
    (TensorSpec("x", DType.FP32, (-1, 3)), TensorSpec("n", DType.INT64, (-1, 1))),
    (TensorSpec("y", DType.FP32, (-1, 3)), TensorSpec("m", DType.INT64, (-1, 1))),
    max_batch_size=8,
    platform="identity",
)
"""A model with a batch dimension that gives back its inputs."""

KINDS = ModelSpec(
    "kinds",
    "1",
    tuple(TensorSpec(f"in_{dtype.name}", dtype, (-1,)) for dtype in DType),
    tuple(TensorSpec(f"out_{dtype.name}", dtype, (-1,)) for dtype in DType),
    platform="identity",
)
"""A model without one, that gives back an array of every datatype."""


def write_models(folder: Path) -> Path:
    """Write the models that the suite calls, for Sonic's identity backend, into a folder; return it."""
    for spec in (BATCHING, KINDS):
        (folder / spec.name / spec.version).mkdir(parents=True)
        lines = ['backend: "identity"', f"max_batch_size: {spec.max_batch_size}"]
        for what, tensors in (("input", spec.inputs), ("output", spec.outputs)):
            for tensor in tensors:
                kind = "STRING" if tensor.dtype is DType.BYTES else tensor.dtype.name
                dims = list(tensor.shape[1:] if spec.max_batch_size else tensor.shape)
                lines.append(f'{what} {{ name: "{tensor.name}" data_type: TYPE_{kind} dims: {dims} }}')
        (folder / spec.name / "config.pbtxt").write_text("\n".join(lines))
    return folder


def echo_request(rows: int = 2, **changes: object) -> InferRequest:
    """Make a request for the batching model."""
    x = np.linspace(-1, 1, 3 * rows, dtype=np.float32).reshape(rows, 3)
    fields = {"model": "echo", "inputs": {"x": x, "n": np.arange(rows).reshape(rows, 1)}, **changes}
    return InferRequest(**fields)  # type: ignore[arg-type]


def error_of(future: Future[InferResponse]) -> InferenceError:
    """Return the error of the tree that a future ends in."""
    error = future.exception(WAIT_S)
    assert isinstance(error, InferenceError), error
    return error


class TransportConformance:
    """What a transport to a server in order does."""

    @pytest.fixture
    def transport(self) -> Transport:
        """Lead to a server of the suite's models."""
        raise NotImplementedError

    def test_gives_back_bit_for_bit(self, transport: Transport) -> None:
        request = echo_request(id="17")
        request.inputs["x"][0] = np.nan, np.inf, -0.0
        response = transport.submit(request).result(WAIT_S)
        assert (response.model, response.version, response.id) == ("echo", "1", "17")
        assert sorted(response.outputs) == ["m", "y"]
        assert same_bits(response.outputs["y"], request.inputs["x"])
        assert same_bits(response.outputs["m"], request.inputs["n"])

    def test_every_datatype(self, transport: Transport) -> None:
        inputs = {}
        for dtype in DType:
            if dtype is DType.BYTES:
                array = np.array([b"", b"\xff\0", "\u00e9".encode()], object)
            elif dtype is DType.BOOL:
                array = np.array([True, False, True])
            elif dtype.numpy.kind in "iu":
                info = np.iinfo(dtype.value)
                array = np.array([info.min, 1, info.max], dtype.numpy)
            else:
                array = np.array([-1.5, np.inf, np.nan], dtype.numpy)
            inputs[f"in_{dtype.name}"] = array
        request = InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})
        response = transport.submit(request).result(WAIT_S)
        for dtype in DType:
            assert same_bits(response.outputs[f"out_{dtype.name}"], inputs[f"in_{dtype.name}"]), dtype
            assert response.dtype(f"out_{dtype.name}") is dtype

    def test_zero_sized_arrays(self, transport: Transport) -> None:
        inputs = {t.name: np.empty(0, t.dtype.numpy) for t in KINDS.inputs}
        response = transport.submit(InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})).result(WAIT_S)
        assert all(array.shape == (0,) for array in response.outputs.values())

    def test_any_memory_layout(self, transport: Transport) -> None:
        x = np.arange(24, dtype=np.float32).reshape(3, 8).T[::2]
        request = InferRequest("echo", {"x": x, "n": np.arange(8).reshape(8, 1)[::-2]})
        response = transport.submit(request).result(WAIT_S)
        assert same_bits(response.outputs["y"], x)
        assert response.outputs["m"].ravel().tolist() == [7, 5, 3, 1]

    def test_only_the_outputs_wanted(self, transport: Transport) -> None:
        response = transport.submit(echo_request(outputs=("m",))).result(WAIT_S)
        assert list(response.outputs) == ["m"]

    def test_a_large_request(self, transport: Transport) -> None:
        values = np.random.default_rng(3).integers(0, 255, 16 << 20, dtype=np.uint8)
        inputs = {t.name: np.empty(0, t.dtype.numpy) for t in KINDS.inputs} | {"in_UINT8": values}
        response = transport.submit(InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})).result(WAIT_S)
        assert same_bits(response.outputs["out_UINT8"], values)

    def test_many_at_once_from_several_threads(self, transport: Transport) -> None:
        def call(number: int) -> Future[InferResponse]:
            n = np.array([[number]])
            return transport.submit(InferRequest("echo", {"x": np.full((1, 3), number, np.float32), "n": n}))

        with ThreadPoolExecutor(4) as threads:
            futures = list(threads.map(call, range(200)))
        for number, future in enumerate(futures):
            assert future.result(WAIT_S).outputs["m"] == [[number]]

    def test_callbacks_run_once(self, transport: Transport) -> None:
        calls: list[object] = []
        done = threading.Event()
        future = transport.submit(echo_request())
        future.add_done_callback(calls.append)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(WAIT_S)
        assert calls == [future]

    @pytest.mark.parametrize(
        ("request_", "kind"),
        [
            (echo_request(model="absent"), ModelNotFound),
            (echo_request(version="9"), ModelNotFound),
            (echo_request(outputs=("absent",)), InvalidRequest),
            (InferRequest("echo", {"absent": np.zeros((1, 3), np.float32)}), InvalidRequest),
            (InferRequest("echo", {"x": np.zeros((1, 3), np.float32)}), InvalidRequest),
            (InferRequest("echo", {"x": np.zeros((1, 3)), "n": np.zeros((1, 1), np.int64)}), InvalidRequest),
            (
                InferRequest("echo", {"x": np.zeros((1, 4), np.float32), "n": np.zeros((1, 1), np.int64)}),
                InvalidRequest,
            ),
            (echo_request(rows=9), InvalidRequest),
            (InferRequest("echo", {"x": np.zeros((1, 3), np.complex64)}), InvalidRequest),
        ],
        ids=["model", "version", "output", "input", "missing", "dtype", "shape", "batch", "no datatype"],
    )
    def test_a_wrong_request_ends_in_its_error(
        self, transport: Transport, request_: InferRequest, kind: type[InferenceError]
    ) -> None:
        error = error_of(transport.submit(request_))
        assert type(error) is kind
        assert str(error)
        assert "\n" not in str(error)
        assert transport.submit(echo_request()).result(WAIT_S)

    def test_a_request_given_up_harms_no_other(self, transport: Transport) -> None:
        futures = [transport.submit(echo_request()) for _ in range(20)]
        for future in futures[::2]:
            future.cancel()
        assert not wait(futures, WAIT_S).not_done
        for future in futures[1::2]:
            assert future.result().outputs

    def test_a_deadline_that_is_met(self, transport: Transport) -> None:
        assert transport.submit(echo_request(timeout_s=WAIT_S)).result(WAIT_S).outputs

    def test_configuration(self, transport: Transport) -> None:
        config = transport.model_config("echo", "1", WAIT_S)
        assert (config.name, config.max_batch_size) == ("echo", BATCHING.max_batch_size)
        assert to_spec(config, "1").inputs == BATCHING.inputs
        with pytest.raises(ModelNotFound):
            transport.model_config("absent")

    def test_spec(self, transport: Transport) -> None:
        assert transport.model_spec("echo") == BATCHING
        assert transport.model_spec("echo", "1", WAIT_S) == BATCHING
        assert transport.model_spec("kinds") == KINDS
        with pytest.raises(ModelNotFound):
            transport.model_spec("absent")
        with pytest.raises(ModelNotFound):
            transport.model_spec("echo", "9")

    def test_index(self, transport: Transport) -> None:
        index = transport.models(WAIT_S)
        assert sorted((m.name, m.state) for m in index) == [("echo", "READY"), ("kinds", "READY")]
        assert {m.version for m in index} <= {"1", ""}, "a version that is not known yet may be left out"

    def test_statistics(self, transport: Transport) -> None:
        before = transport.statistics("echo")
        transport.submit(echo_request(rows=3)).result(WAIT_S)
        after = transport.statistics("echo", "1", WAIT_S)
        assert (after.name, after.version) == ("echo", "1")
        assert after.inference_count - before.inference_count == 3
        assert after.execution_count - before.execution_count == 1
        assert after.success.count - before.success.count == 1
        with pytest.raises(ModelNotFound):
            transport.statistics("absent")

    def test_ready_until_closed(self, transport: Transport) -> None:
        assert transport.ready(WAIT_S)
        transport.close()
        transport.close()
        assert not transport.ready(WAIT_S)
        assert isinstance(error_of(transport.submit(echo_request())), Cancelled | Unavailable)
        for call in (lambda: transport.model_spec("echo"), lambda: transport.statistics("echo")):
            with pytest.raises((Cancelled, Unavailable)):
                call()


class RudePeer:
    """A server that accepts connections and misbehaves. Context manager.

    Parameters
    ----------
    hang_up : bool
        Whether it closes a connection once something came; otherwise it never answers.

    Attributes
    ----------
    target : str
        ``host:port``.
    connected : threading.Event
        Set when something came.
    """

    def __init__(self, *, hang_up: bool) -> None:
        self._hang_up = hang_up
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connected = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()

    def _run(self) -> None:
        with suppress(OSError):  # how it is ended
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(WAIT_S)
                connection.recv(1)
                self.connected.set()
                if self._hang_up:
                    connection.close()
                else:
                    self._connections.append(connection)


class RemoteTransportConformance(TransportConformance):
    """What a transport over a network does besides, when the server is not in order."""

    @pytest.fixture
    def connect(self) -> Callable[[str], Transport]:
        """Make a transport to ``host:port``."""
        raise NotImplementedError

    def test_nobody_listens(self, connect: Callable[[str], Transport]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = f"127.0.0.1:{listener.getsockname()[1]}"
        transport = connect(target)
        error = error_of(transport.submit(echo_request()))
        assert type(error) is Unavailable
        assert target in str(error)
        assert not transport.ready(WAIT_S)
        for call in (transport.models, lambda: transport.model_spec("echo"), lambda: transport.statistics("echo")):
            with pytest.raises(Unavailable, match=target):
                call()
        transport.close()

    def test_the_server_hangs_up(self, connect: Callable[[str], Transport]) -> None:
        with RudePeer(hang_up=True) as peer:
            transport = connect(peer.target)
            error = error_of(transport.submit(echo_request(timeout_s=WAIT_S)))
            assert type(error) is Unavailable
            assert peer.target in str(error)
            transport.close()

    def test_the_server_never_answers(self, connect: Callable[[str], Transport]) -> None:
        with RudePeer(hang_up=False) as peer:
            transport = connect(peer.target)
            error = error_of(transport.submit(echo_request(timeout_s=0.2)))
            assert isinstance(error, DeadlineExceeded | Unavailable)
            assert not transport.ready(0.2)
            with pytest.raises((DeadlineExceeded, Unavailable)):
                transport.model_spec("echo", timeout_s=0.2)
            transport.close()

    def test_closed_while_requests_are_in_flight(self, connect: Callable[[str], Transport]) -> None:
        with RudePeer(hang_up=False) as peer:
            transport = connect(peer.target)
            futures = [transport.submit(echo_request()) for _ in range(40)]
            assert peer.connected.wait(WAIT_S)
            transport.close()
            for future in futures:
                assert isinstance(error_of(future), Cancelled | Unavailable)

    def test_given_up_while_in_flight(self, connect: Callable[[str], Transport]) -> None:
        with RudePeer(hang_up=False) as peer:
            transport = connect(peer.target)
            future = transport.submit(echo_request())
            assert peer.connected.wait(WAIT_S)
            assert future.cancel()
            assert not wait([future], WAIT_S).not_done
            transport.close()
