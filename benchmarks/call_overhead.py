"""Time of a call through `sonic.Model`, over the same call without it: a bare gRPC stub, httpx, tritonclient.

A model that copies its input is served by a process of its own, over the loopback, without shared memory. Each repeat
has blocks of calls of all of them in turn, and takes the median block of each. `one` is one call at a time, `16` keeps
sixteen in flight. The bare ones make arrays into messages and answers into arrays in the shortest way there is.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import httpx
import numpy as np
import onnx
import tritonclient.http as triton
from onnx import TensorProto, helper

from common import Figure
from sonic import Model
from sonic.client.fallback import ServeProcess
from sonic.client.grpc import OPTIONS
from sonic.client.settings import ClientSettings
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    Array = np.ndarray[Any, Any]

SIZES = {"1 kB": 250, "100 kB": 25_000, "1 MB": 250_000}
IN_FLIGHT = 16
ROUNDS = 9
BLOCK_S = 0.1
GOAL = 1.15
"""At 100 kB over gRPC."""


class Way(Protocol):
    """One way to call the model."""

    def call(self, x: Array) -> Array:
        """Call it and wait."""

    def submit(self, x: Array) -> Callable[[], Array]:
        """Send; the returned function waits for the answer."""

    def close(self) -> None:
        """Release it."""


class Sonic:
    """What is measured."""

    def __init__(self, url: str) -> None:
        # A bare client has its tensors on the wire, and so has this one.
        self._model = Model(f"{url}/copy", settings=ClientSettings(shared_memory="never"))

    def call(self, x: Array) -> Array:
        """Call it and wait."""
        return self._model(x=x)["y"]

    def submit(self, x: Array) -> Callable[[], Array]:
        """Send; the returned function waits for the answer."""
        future = self._model.submit(x=x)
        return lambda: future.result()["y"]

    def close(self) -> None:
        """Release it."""
        self._model.close()


class Stub:
    """The generated stub, with raw contents."""

    def __init__(self, url: str) -> None:
        self._channel = grpc.insecure_channel(url.removeprefix("grpc://"), options=OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def call(self, x: Array) -> Array:
        """Call it and wait."""
        return _array(self._stub.ModelInfer(_message(x)))

    def submit(self, x: Array) -> Callable[[], Array]:
        """Send; the returned function waits for the answer."""
        future = self._stub.ModelInfer.future(_message(x))
        return lambda: _array(future.result())

    def close(self) -> None:
        """Release it."""
        self._channel.close()


class Httpx:
    """A client of httpx, with binary tensors."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_keepalive_connections=IN_FLIGHT, keepalive_expiry=None)
        self._client = httpx.Client(base_url=url, limits=limits)
        self._threads = ThreadPoolExecutor(IN_FLIGHT)

    def call(self, x: Array) -> Array:
        """Call it and wait."""
        described = {"name": "x", "datatype": "FP32", "shape": x.shape, "parameters": {"binary_data_size": x.nbytes}}
        head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
        answer = self._client.post(
            "/v2/models/copy/infer",
            content=head + x.tobytes(),
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
        start = int(answer.headers["Inference-Header-Content-Length"])
        output = json.loads(answer.content[:start])["outputs"][0]
        return np.frombuffer(answer.content, np.float32, offset=start).reshape(output["shape"])

    def submit(self, x: Array) -> Callable[[], Array]:
        """Send; the returned function waits for the answer."""
        return self._threads.submit(self.call, x).result

    def close(self) -> None:
        """Release it."""
        self._threads.shutdown()
        self._client.close()


class Tritonclient:
    """NVIDIA's client."""

    def __init__(self, url: str) -> None:
        self._client = triton.InferenceServerClient(url.removeprefix("http://"), concurrency=IN_FLIGHT)
        self._outputs = [triton.InferRequestedOutput("y")]

    def call(self, x: Array) -> Array:
        """Call it and wait."""
        answer: Array = self._client.infer("copy", self._inputs(x), outputs=self._outputs).as_numpy("y")
        return answer

    def submit(self, x: Array) -> Callable[[], Array]:
        """Send; the returned function waits for the answer."""
        future = self._client.async_infer("copy", self._inputs(x), outputs=self._outputs)
        return lambda: future.get_result().as_numpy("y")

    def _inputs(self, x: Array) -> list[triton.InferInput]:
        given = triton.InferInput("x", x.shape, "FP32")
        given.set_data_from_numpy(x)
        return [given]

    def close(self) -> None:
        """Release it."""
        self._client.close()


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratios, for each size and number in flight."""
    with ExitStack() as stack:
        server = stack.enter_context(_server())
        grpc_ways: dict[str, Way] = {"bare stub": Stub(server.grpc_url), "Sonic": Sonic(server.grpc_url)}
        http_ways: dict[str, Way] = {
            "httpx": Httpx(server.http_url),
            "tritonclient": Tritonclient(server.http_url),
            "Sonic": Sonic(server.http_url),
        }
        for way in (*grpc_ways.values(), *http_ways.values()):
            stack.callback(way.close)
        for wire, ways in (("gRPC", grpc_ways), ("HTTP", http_ways)):
            for size, count in SIZES.items():
                x = np.arange(count, dtype=np.float32)
                for way in ways.values():
                    np.testing.assert_array_equal(way.call(x), x)
                for mode in ("one, call", "one, submit", "16") if wire == "gRPC" else ("one, call", "16"):
                    goal = GOAL if (wire, size) == ("gRPC", "100 kB") else None
                    yield from _compared(ways, mode, x, repeats, f"{wire}, {size}, {mode}", goal, console)


def _compared(
    ways: dict[str, Way], mode: str, x: Array, repeats: int, title: str, goal: float | None, console: Console
) -> Iterator[Figure]:
    ratios: dict[str, list[float]] = {name: [] for name in ways if name != "Sonic"}
    for _ in range(repeats):
        spent = _rounds(ways, mode, x)
        told = (f"{name} {wall * 1e6:.0f} us ({cpu * 1e6:.0f} of processor)" for name, (wall, cpu) in spent.items())
        console.print(f"{title}: {', '.join(told)}")
        for name, values in ratios.items():
            values.append(spent["Sonic"][0] / spent[name][0])
    for name, values in ratios.items():
        yield Figure.of(f"{title}: Sonic / {name}", values, goal=goal, at_most=True)


def _rounds(ways: dict[str, Way], mode: str, x: Array) -> dict[str, tuple[float, float]]:
    """Return seconds a call, and seconds of processor a call, of each."""
    counts = {name: max(IN_FLIGHT, round(BLOCK_S / _block(way, mode, x, IN_FLIGHT)[0])) for name, way in ways.items()}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in list(ways) if number % 2 else reversed(list(ways)):
            spent[name].append(_block(ways[name], mode, x, counts[name]))
    return {
        name: (median(wall for wall, _ in blocks), median(cpu for _, cpu in blocks)) for name, blocks in spent.items()
    }


def _block(way: Way, mode: str, x: Array, calls: int) -> tuple[float, float]:
    began_s, cpu_began_s = perf_counter(), process_time()
    if mode == "one, call":
        for _ in range(calls):
            way.call(x)
    else:
        in_flight: deque[Callable[[], Array]] = deque()
        most = IN_FLIGHT if mode == "16" else 1
        for _ in range(calls):
            if len(in_flight) == most:
                in_flight.popleft()()
            in_flight.append(way.submit(x))
        for wait in in_flight:
            wait()
    return (perf_counter() - began_s) / calls, (process_time() - cpu_began_s) / calls


@contextmanager
def _server() -> Iterator[ServeProcess]:
    def tensor(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])

    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "copy", [tensor("x")], [tensor("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "copy" / "1"
        place.mkdir(parents=True)
        onnx.save(model, place / "model.onnx")
        tensors = (
            f'{what} {{ name: "{name}" data_type: TYPE_FP32 dims: [ -1 ] }}\n'
            for what, name in (("input", "x"), ("output", "y"))
        )
        (place.parent / "config.pbtxt").write_text(
            f'platform: "onnxruntime_onnx"\nmax_batch_size: 0\n{"".join(tensors)}'
        )
        with ServeProcess([folder]) as server:
            yield server


def _message(x: Array) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="copy", raw_input_contents=[x.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=x.shape)
    return message


def _array(answer: pb.ModelInferResponse) -> Array:
    return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(answer.outputs[0].shape)
