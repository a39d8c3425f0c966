from __future__ import annotations

import logging
import pickle
import shutil
from concurrent.futures import wait
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.client.checked import CheckedTransport
from sonic.client.identity import LocalCopy
from sonic.client.settings import ClientSettings
from sonic.client.url import connect, parse_server
from sonic.errors import Cancelled, ConfigError, ModelNotFound, Unavailable, WrongModel
from sonic.protocol.checksums import Checksum, write_checksums
from sonic.protocol.digests import digest
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.conformance import WAIT_S, TransportConformance, error_of
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from sonic.client.transport import Transport
    from sonic.errors import InferenceError
    from sonic.protocol.messages import InferResponse
    from sonic.server.app import Server

SPEC = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1,)),), (TensorSpec("y", DType.FP32, (-1,)),))
REQUEST = InferRequest("m", {"x": np.ones(2, np.float32)})
GOOD, BAD = "0cc175b9c0f1b6a831c399e269772661", "b" * 32
"""The first is that of one letter a."""


def served(digest: str) -> Any:
    return parse(write_checksums("", [Checksum("MD5", "1/model.onnx", digest)]))


class Counting(FakeTransport):
    """Counts how often it is asked what it has, and can be slow with that."""

    def __init__(self, name: str, digest: str) -> None:
        super().__init__([SPEC], lambda request: {"y": request.inputs["x"]}, f"fake:{name}")
        self.configs["m"] = served(digest)
        self.asked = 0
        self.free = Event()
        self.free.set()

    def model_config(self, *arguments: Any) -> Any:
        self.asked += 1
        assert self.free.wait(WAIT_S)
        return super().model_config(*arguments)


@pytest.fixture
def copy(tmp_path: Path) -> LocalCopy:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"a")
    return LocalCopy(tmp_path)


@pytest.fixture
def peer() -> Counting:
    return Counting("a", GOOD)


@pytest.fixture
def way(peer: Counting, copy: LocalCopy) -> Iterator[CheckedTransport]:
    way = CheckedTransport(peer, copy)
    yield way
    way.close()


def test_the_right_model_is_asked_for_once(way: CheckedTransport, peer: Counting) -> None:
    peer.free.clear()
    futures = [way.submit(REQUEST) for _ in range(5)]
    assert not peer.requests
    peer.free.set()
    assert not wait(futures, WAIT_S).not_done
    assert way.submit(REQUEST).result(WAIT_S).outputs["y"].tolist() == [1, 1]
    assert way.model_spec("m") == SPEC
    assert peer.asked == 1
    assert len(peer.requests) == 6


def test_another_model_gets_no_request(way: CheckedTransport, peer: Counting) -> None:
    peer.configs["m"] = served(BAD)
    error = error_of(way.submit(REQUEST))
    assert type(error) is WrongModel
    text = f"model 'm' on fake:a is another one than the local copy: 1/model.onnx has MD5 {BAD}, expected {GOOD}"
    assert str(error) == text
    with pytest.raises(WrongModel, match="another one than the local copy"):
        way.model_spec("m")
    assert peer.asked == 1
    assert not peer.requests


def test_another_model_is_looked_at_again_after_a_while(
    way: CheckedTransport, peer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("sonic.client.checked.monotonic", lambda: now[0])
    peer.configs["m"] = served(BAD)
    assert type(error_of(way.submit(REQUEST))) is WrongModel
    peer.configs["m"] = served(GOOD)
    now[0] += 29
    assert type(error_of(way.submit(REQUEST))) is WrongModel
    now[0] += 2
    assert way.submit(REQUEST).result(WAIT_S)
    assert peer.asked == 2


@pytest.mark.parametrize("meanwhile", [ModelNotFound("unloaded"), Unavailable("gone")])
def test_a_server_that_comes_back_with_another_model(
    way: CheckedTransport, peer: Counting, meanwhile: InferenceError
) -> None:
    way.submit(REQUEST).result(WAIT_S)
    peer.then(meanwhile)
    peer.configs["m"] = served(BAD)
    assert type(error_of(way.submit(REQUEST))) is type(meanwhile)
    assert type(error_of(way.submit(REQUEST))) is WrongModel
    assert len(peer.requests) == 2


class Waiting(Counting):
    """Lets whoever waits bring the answer."""

    def begin(self, request: InferRequest) -> tuple[Future[InferResponse], Callable[[], object] | None]:
        return self.submit(request), Event().set


def test_whoever_waits_brings_the_answer_once_the_model_is_known(copy: LocalCopy) -> None:
    peer = Waiting("a", GOOD)
    way = CheckedTransport(peer, copy)
    sent, bring = way.begin(REQUEST)
    assert bring is None
    assert sent.result(WAIT_S)
    sent, bring = way.begin(REQUEST)
    assert bring is not None
    assert sent.result(WAIT_S)
    peer.then(Unavailable("gone"))
    peer.configs["m"] = served(BAD)
    assert type(error_of(way.begin(REQUEST)[0])) is Unavailable
    assert type(error_of(way.begin(REQUEST)[0])) is WrongModel
    way.close()
    alone = CheckedTransport(Counting("a", GOOD), copy)
    assert all(alone.begin(REQUEST)[1] is None for _ in range(2))
    alone.close()


def test_a_server_that_does_not_say_what_it_has(way: CheckedTransport, peer: Counting) -> None:
    peer.down = Unavailable("full")
    assert type(error_of(way.submit(REQUEST))) is Unavailable
    peer.down = None
    assert way.submit(REQUEST).result(WAIT_S)


def test_what_cannot_be_compared_is_noted_once(
    way: CheckedTransport, peer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    del peer.configs["m"]
    with caplog.at_level(logging.INFO, "sonic.client"):
        way.model_spec("m")
        peer.then(Unavailable("gone"))
        error_of(way.submit(REQUEST))
        way.model_spec("m")
    assert peer.asked == 2
    assert caplog.messages == ["model 'm' on fake:a is not compared with its copy: the server gives no checksums"]


def test_given_up_or_closed_while_it_is_looked_at(way: CheckedTransport, peer: Counting) -> None:
    peer.free.clear()
    first, second = way.submit(REQUEST), way.submit(REQUEST)
    assert first.cancel()
    way.close()
    assert type(error_of(second)) is Cancelled
    peer.free.set()
    assert type(error_of(way.submit(REQUEST))) is Cancelled
    assert not peer.requests


def test_the_others_are_used(copy: LocalCopy) -> None:
    wrong, right = Counting("wrong", BAD), Counting("right", GOOD)
    settings = ClientSettings(preferred=("fake:wrong",))
    with sonic.Client(reference=copy.folder, transports=[wrong, right], settings=settings) as client:
        model = client.model("m")
        for _ in range(5):
            assert model(x=[1.0, 2.0])["y"].tolist() == [1, 2]
    assert not wrong.requests
    assert len(right.requests) == 5


def test_where_there_is_no_other_it_is_an_error(copy: LocalCopy) -> None:
    transports = [Counting("a", BAD), Counting("b", BAD)]
    with (
        sonic.Client(reference=copy.folder, transports=transports) as client,
        pytest.raises(WrongModel, match=r"fake:a.*another one.*fake:b.*another one"),
    ):
        client.model("m")(x=[1.0])
    assert not any(transport.requests for transport in transports)


def test_a_reference_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder of models"):
        sonic.Client(["grpc://localhost:1"], reference=tmp_path / "absent")


class TestCheckedConformance(TransportConformance):
    """Over gRPC, to a server of the models of which there is a copy."""

    @pytest.fixture
    def transport(self, server: Server, models: Path) -> Iterator[Transport]:
        transport = CheckedTransport(connect(parse_server(server.grpc_url)), LocalCopy(models))
        yield transport
        transport.close()


@pytest.fixture(scope="module")
def two_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server, Server]]:
    """A folder, a server of a copy of it, and one of a model in which a bit is another. All with their checksums."""
    onnx = pytest.importorskip("onnx")
    tmp_path = tmp_path_factory.mktemp("scales")
    file = tmp_path / "own" / "negate" / "1" / "model.onnx"
    for place, weight in (("own", 2.0), ("same", 2.0), ("other", 3.0)):
        here = tmp_path / place / "negate" / "1" / "model.onnx"
        here.parent.mkdir(parents=True)
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", "w"], ["y"])],
            "scale",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 1])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 1])],
            [onnx.numpy_helper.from_array(np.array([weight], np.float32), "w")],
        )
        opsets = [helper.make_opsetid("", 17)]
        here.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
        checksum = Checksum("MD5", "1/model.onnx", digest(here, "MD5"))
        (here.parents[1] / "config.pbtxt").write_text(write_checksums("", [checksum]))
    assert file.read_bytes() == (tmp_path / "same" / "negate" / "1" / "model.onnx").read_bytes()
    with (
        sonic.serve(tmp_path / "same", cores=1) as same,
        sonic.serve(tmp_path / "other", cores=1) as other,
    ):
        yield tmp_path / "own", same, other


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_served_for_real(scheme: str, two_servers: tuple[Path, Server, Server], tmp_path: Path) -> None:
    own, same, other = two_servers
    good, bad = ((s.grpc_url if scheme == "grpc" else s.http_url) for s in (same, other))
    with sonic.Model(f"{good}/negate", reference=own) as model:
        assert model(x=[[1.0]])["y"].tolist() == [[2]]
        with pickle.loads(pickle.dumps(model)) as again:
            assert again(x=[[1.0]])["y"].tolist() == [[2]]
    with (
        sonic.Model(f"{bad}/negate", reference=own) as model,
        pytest.raises(WrongModel, match=r"1/model\.onnx has MD5"),
    ):
        model(x=[[1.0]])
    with sonic.Client([bad, good], reference=own) as client:
        assert {client.model("negate")(x=[[1.0]])["y"].item() for _ in range(10)} == {2.0}
    with sonic.Model(f"{bad}/negate", fallback=own) as model:
        assert model(x=[[1.0]])["y"].tolist() == [[2]]
    (tmp_path / "negate").mkdir()  # what a config.pbtxt says is enough
    shutil.copy(own / "negate" / "config.pbtxt", tmp_path / "negate")
    with sonic.Model(f"{bad}/negate", reference=tmp_path) as model, pytest.raises(WrongModel):
        model(x=[[1.0]])
