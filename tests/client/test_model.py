from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import weakref
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

import sonic
from sonic.client import model as client_model
from sonic.client.fallback import ServeProcess
from sonic.client.model import Client, Model
from sonic.client.shared import disconnect
from sonic.errors import (
    Cancelled,
    ConfigError,
    ModelNotFound,
    Unavailable,
)
from sonic.protocol.tensors import same_bits
from sonic.specs import DType
from sonic.testing.conformance import (
    BATCHING,
    KINDS,
    WAIT_S,
    TransportConformance,
    error_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.client.transport import Transport
    from sonic.server.app import Server
    from sonic.specs import ModelSpec
    from sonic.testing.transports import FakeTransport


class TestInProcess(TransportConformance):
    @pytest.fixture
    def transport(self, models: Path) -> Iterator[Transport]:
        transport = client_model.connect(client_model.parse_server(f"local:{models}"))
        yield transport
        transport.close()


def test_a_call(model: Model, way: FakeTransport, spec: ModelSpec) -> None:
    x = np.arange(4.0).reshape(2, 2)
    assert model(x=x)["y"].tolist() == [[0, 2], [4, 6]]
    assert model.submit(x=x).result(WAIT_S)["y"].dtype == np.float32
    assert model.spec == spec
    assert [request.timeout_s for request in way.requests] == [None, None]


def test_from_asyncio(model: Model) -> None:
    async def both() -> list[dict[str, np.ndarray]]:
        return await asyncio.gather(*(asyncio.wrap_future(model.submit(x=[[n, n]])) for n in (1, 2)))

    first, second = asyncio.run(both())
    assert (first["y"].tolist(), second["y"].tolist()) == ([[2, 2]], [[4, 4]])


def test_the_fallback_lets_go_of_a_model_with_the_last_that_is_called_so(
    way: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[str] = []
    with Client(transports=[way]) as client:
        monkeypatch.setattr(client._router, "release", released.append)
        one, other = client.model("double"), client.model("double", "1")
        one.close()
        assert released == []
        other.close()
        assert released == ["double"]


def test_after_the_close(way: FakeTransport) -> None:
    client = Client(transports=[way])
    model = client.model("double")
    assert model(x=[[1, 1]])
    model.close()
    assert model(x=[[1, 1]]), "the client stays open"
    client.close()
    assert type(error_of(model.submit(x=[[1, 1]]))) is Cancelled
    assert type(error_of(client.model("double").submit(x=[[1, 1]]))) is Cancelled


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Client(), "a client needs a server or a fallback"),
        (lambda: Client("grpc://host:1"), "urls is a sequence of URLs"),
        (lambda: Client(["grpc://host:1", "grpc://host:1"]), "server grpc://host:1 is given twice"),
        (lambda: Client(["grpc://host:1/m"]), "names a model"),
        (lambda: Client(["grpc://host:1"], timeout_s=0), "timeout_s is above 0"),
        (lambda: Client(["grpc://host:1"], timeout_s=float("inf")), "timeout_s is .*, or None for no limit; given inf"),
        (lambda: Client(fallback="/nowhere"), "fallback /nowhere is not a folder of models"),
        (lambda: Model("grpc://host:1"), "names no model"),
        (lambda: Model("local:/nowhere/m"), "/nowhere"),
    ],
)
def test_arguments_that_make_no_sense(make: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make()  # type: ignore[operator]


# ---- on servers in order ----------------------------------------------------------------------------------------


@pytest.fixture(params=["grpc", "triton+http", "local"])
def url(request: pytest.FixtureRequest, server: Server, models: Path) -> str:
    if request.param == "local":
        return f"local:{models}"
    return {"grpc": server.grpc_url, "triton+http": f"triton+{server.http_url}"}[request.param]


def test_every_route_gives_the_same_bits(url: str) -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=(29, 3)).astype(np.float32)
    n = generator.integers(-9, 9, (29, 1))
    with sonic.Model(f"{url}/echo", timeout_s=WAIT_S) as model:
        assert model.spec == BATCHING
        outputs = model(x=x, n=n)
        assert same_bits(outputs["y"], x)
        assert same_bits(outputs["m"], n)
        assert model(x=x[:0], n=n[:0])["y"].shape == (0, 3)
        assert model.statistics().inference_count >= 29
    with sonic.Model(f"{url}/kinds/1") as model:
        inputs = {t.name: np.zeros(3, t.dtype.numpy) for t in KINDS.inputs if t.dtype is not DType.BYTES}
        inputs["in_BYTES"] = np.array([b"a", b"\0", b""], object)
        inputs["in_BF16"] = np.array([1, -2, np.nan], np.float32)
        outputs = model(**inputs)
        assert all(same_bits(outputs[f"out_{d.name}"], inputs[f"in_{d.name}"]) for d in DType)


def test_a_model_that_is_nowhere(url: str) -> None:
    with sonic.Model(f"{url}/absent") as model, pytest.raises(ModelNotFound, match="absent"):
        model(x=[1])


def test_pickled_it_connects_where_it_wakes_up(url: str) -> None:
    arrays = {"x": np.ones((2, 3), np.float32), "n": np.ones((2, 1), np.int64)}
    with sonic.Model(f"{url}/echo") as model:
        assert same_bits(model(**arrays)["y"], arrays["x"])
        with pickle.loads(pickle.dumps(model)) as copy:
            assert same_bits(copy(**arrays)["y"], arrays["x"])
    with Client([url], timeout_s=WAIT_S) as client:
        first, second = pickle.loads(pickle.dumps([client.model("echo"), client.model("kinds")]))
        assert first(**arrays)
        assert first._client is second._client
        assert first._client is not client
        first._client.close()


def test_what_is_pickled_for_each_task_connects_once(url: str) -> None:
    with sonic.Model(f"{url}/echo", timeout_s=WAIT_S) as model:
        pickled = pickle.dumps(model)
        first, second = pickle.loads(pickled), pickle.loads(pickled)
        assert first is second is not model
        assert pickle.loads(pickle.dumps(first)) is first
        disconnect()
        with pytest.raises(Cancelled):
            first(x=np.ones((1, 3)), n=[[1]])
        again = pickle.loads(pickled)
        assert again is not first
        assert again(x=np.ones((1, 3)), n=[[1]])["m"].tolist() == [[1]]
    disconnect()


def test_a_forked_process_connects_by_itself(url: str) -> None:
    program = """
import os, sys
import numpy as np
import sonic
arrays = {"x": np.ones((2, 3), np.float32), "n": np.ones((2, 1), np.int64)}
model = sonic.Model(sys.argv[1], timeout_s=20)
model(**arrays)
child = os.fork()
if not child:
    os._exit(len(model(**arrays)["y"]))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code + len(model(**arrays)["y"]))
"""
    done = subprocess.run([sys.executable, "-c", program, f"{url}/echo"], timeout=WAIT_S, check=False)
    assert done.returncode == 2 + 2


def test_injected_transports_cannot_be_pickled(model: Model) -> None:
    with pytest.raises(TypeError, match="give it URLs"):
        pickle.dumps(model)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_fallback_takes_over_when_the_server_dies(models: Path, scheme: str) -> None:
    arrays = {"x": np.ones((2, 3), np.float32), "n": np.ones((2, 1), np.int64)}
    server = sonic.serve(models)
    address = server.grpc_url if scheme == "grpc" else server.http_url
    with sonic.Model(f"{address}/echo", fallback=models, timeout_s=WAIT_S) as model:
        assert same_bits(model(**arrays)["y"], arrays["x"])
        assert model._client._router._fallback.transport is None
        server.close(drain_s=0)
        for _ in range(3):
            assert same_bits(model(**arrays)["y"], arrays["x"])
        assert model._client._router._fallback.transport is not None
        assert model.statistics().inference_count == 6
    with pytest.raises(Unavailable), sonic.Model(f"{address}/echo") as model:
        model(**arrays)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_killed_under_load_loses_nothing(models: Path, scheme: str) -> None:
    n = np.zeros((2, 1), np.int64)
    with ServeProcess([models]) as doomed, ServeProcess([models]) as other:
        first, second = (p.grpc_url if scheme == "grpc" else p.http_url for p in (doomed, other))
        with Client([first, second], timeout_s=WAIT_S) as client, Client([first], timeout_s=WAIT_S) as alone:
            safe, unsafe = client.model("echo"), alone.model("echo")
            assert safe.spec == unsafe.spec
            ends: list[object] = []
            calls = []
            for number in range(400):
                x = np.full((2, 3), number, np.float32)
                calls.append((safe.submit(x=x, n=n), unsafe.submit(x=x, n=n)))
                for future in calls[-1]:
                    future.add_done_callback(ends.append)
                if number == 200:
                    psutil.Process(doomed.pid).kill()
            for number, (kept, lost) in enumerate(calls):
                assert kept.result(WAIT_S)["y"][0, 0] == number
                assert isinstance(lost.exception(WAIT_S), Unavailable | type(None))
            assert isinstance(calls[-1][1].exception(), Unavailable)
            assert len(ends) == len({id(future) for future in ends}) == 800


def test_a_fallback_alone(models: Path) -> None:
    with Client(fallback=models) as client:
        assert client.model("echo").spec == BATCHING
        assert client.model("echo").statistics().inference_count == 0
        assert repr(client.model("echo", "1")) == "<Model echo/1 on the fallback>"
        assert repr(client) == "<Client of the fallback>"
        assert client.servers() == ()


def test_a_call_that_is_over_leaves_nothing_behind(url: str) -> None:
    x, n = np.ones((20, 3), np.float32), np.ones((20, 1), np.int64)
    with sonic.Model(f"{url}/echo", timeout_s=WAIT_S) as model:
        for rows in (20, 2):  # the first call, which asks for the spec and is split; then one of the others
            inputs = {"x": x[:rows].copy(), "n": n[:rows].copy()}
            future = model.submit(**inputs)
            outputs = future.result(WAIT_S)
            gone = [weakref.ref(thing) for thing in (future, inputs["x"], outputs["y"])]
            gc.disable()
            try:
                del future, inputs, outputs
                # The thread that brought the answer may still be on its way out of it.
                deadline_s = monotonic() + WAIT_S
                while any(reference() is not None for reference in gone) and monotonic() < deadline_s:
                    model._client.servers()
                assert [reference() for reference in gone] == [None, None, None]
            finally:
                gc.enable()
