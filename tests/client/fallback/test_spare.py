"""Fallbacks of every kind under a client: identical, shared, loaded as long as they are used, and mortal."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

import sonic
from sonic import Client, Fallback
from sonic.client.fallback import ServeProcess, Spare
from sonic.client.settings import ClientSettings
from sonic.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    ModelFailed,
    ModelNotFound,
    Unauthenticated,
    Unavailable,
)
from sonic.protocol.tensors import same_bits
from sonic.testing.conformance import WAIT_S, TransportConformance, echo_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.client.fallback.running import Running
    from sonic.client.promise import Promise

NOWHERE = "grpc://127.0.0.1:9"
QUICK = ClientSettings(chain=("different", "fallback"))
X = np.random.default_rng(7).normal(size=(64, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks, and one that cannot be loaded."""
    folder = tmp_path_factory.mktemp("zoo")
    for number, name in enumerate(("net", "twin")):
        draw = np.random.default_rng(number).normal
        layers = {f"w{i}": draw(size=shape).astype(np.float32) for i, shape in enumerate(((16, 32), (32, 4)))}
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w0"], ["h"]),
                helper.make_node("Tanh", ["h"], ["t"]),
                helper.make_node("MatMul", ["t", "w1"], ["s"]),
                helper.make_node("Softmax", ["s"], ["y"], axis=1),
            ],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
            [numpy_helper.from_array(values, key) for key, values in layers.items()],
        )
        (folder / name / "1").mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / name / "1" / "model.onnx")
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.onnx").write_bytes(b"no network")
    return folder


@pytest.fixture
def fallback_in(zoo: Path, engines: Path) -> Callable[..., Fallback]:
    def make(how: str, **more: Any) -> Fallback:
        engine = {"image": "triton.sif", "engine": "docker"} if how == "container" else {}
        return Fallback(str(zoo), how, cores=1, restart_pause_s=0.0, **engine, **more)  # type: ignore[arg-type]

    return make


def pid_of(client: Client) -> int:
    spare = client._router._fallback
    assert spare is not None
    return spare._shared.running.owner.process.pid  # type: ignore[union-attr]


def loaded(client: Client) -> set[str]:
    spare = client._router._fallback
    assert spare is not None
    return {row.name for row in spare.models(WAIT_S) if row.state == "READY"}


def until(holds: Callable[[], bool]) -> None:
    end_s = monotonic() + WAIT_S
    while not holds():
        assert monotonic() < end_s


@pytest.fixture(scope="module")
def child(models: Path) -> Iterator[Spare]:
    spare = Spare(Fallback(str(models), "child"))
    for model in ("echo", "kinds"):
        assert spare.start().model_spec(model)
    yield spare
    spare.close()


class TestConformance(TransportConformance):
    @pytest.fixture
    def transport(self, child: Spare) -> Any:
        return child.start()


def test_all_kinds_give_the_same_bits(zoo: Path, fallback_in: Callable[..., Fallback]) -> None:
    with sonic.serve(zoo, models=["net"], cores=1) as server, sonic.Model(f"{server.grpc_url}/net") as model:
        expected = model(x=X)["y"]
    for how in ("inprocess", "child", "container"):
        with Client([NOWHERE], fallback=fallback_in(how), settings=QUICK, timeout_s=60) as client:
            answer = client.model("net")(x=X)["y"]
            assert same_bits(answer, expected), how
            assert sum(state.completed for state in client.servers()) == 0


@pytest.mark.parametrize("how", ["inprocess", "child", "container"])
def test_a_model_is_loaded_as_long_as_it_is_used(fallback_in: Callable[..., Fallback], how: str) -> None:
    fallback = fallback_in(how)
    with Client(fallback=fallback) as one, Client(fallback=fallback) as other:
        first, second, third = one.model("net"), other.model("net"), one.model("twin")
        assert same_bits(first(x=X)["y"], second(x=X)["y"])
        assert one._router._fallback._shared is other._router._fallback._shared  # type: ignore[union-attr]
        if how != "inprocess":
            assert loaded(one) == {"net"}
        third(x=X)
        first.close()
        third.close()
        until(lambda: statistics_of(other, "twin") == 0)
        if how != "inprocess":
            until(lambda: loaded(other) == {"net"})
        assert second(x=X)["y"].shape == (64, 4)
        again = one.model("twin")  # loaded anew
        assert again(x=X)["y"].shape == (64, 4)


def statistics_of(client: Client, model: str) -> int:
    return client._router._fallback.statistics(model).inference_count  # type: ignore[union-attr]


def test_a_model_of_its_own_takes_its_fallback_along(zoo: Path) -> None:
    with sonic.Model(f"{NOWHERE}/net", fallback=Fallback(str(zoo), "child"), settings=QUICK) as model:
        assert model(x=X)["y"].shape == (64, 4)
        process = psutil.Process(pid_of(model._client))
        assert process.is_running()
        assert pickle.loads(pickle.dumps(model))._client._arguments == model._client._arguments
    assert not process.is_running()


def test_a_child_lets_nobody_else_in(zoo: Path) -> None:
    with Client(fallback=Fallback(str(zoo), "child")) as client:
        assert client.model("net")(x=X)["y"].shape == (64, 4)
        running = client._router._fallback._shared.running  # type: ignore[union-attr]
        with sonic.Model(f"{running.owner.grpc_url}/net") as model, pytest.raises(Unauthenticated):
            model(x=X)


def test_memory_is_shared_with_a_child(zoo: Path) -> None:
    settings = ClientSettings(shared_memory="always")
    with Client(fallback=Fallback(str(zoo), "child"), settings=settings) as client:
        net = client.model("net")
        expected = net(x=X)["y"]
        use = client._router._fallback._shared.running.transport  # type: ignore[union-attr]
        until(lambda: same_bits(net(x=X)["y"], expected) and use.memory_use.requests > 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["child", "container"])
def test_one_that_is_killed_in_mid_run(fallback_in: Callable[..., Fallback], how: str) -> None:
    with Client(fallback=fallback_in(how)) as client:
        net, twin = client.model("net"), client.model("twin")
        expected = net(x=X)["y"], twin(x=X)["y"]
        futures = []
        for number in range(120):
            if number == 60:
                os.kill(pid_of(client), signal.SIGKILL)
            futures.append((net if number % 2 else twin).submit(x=X))
        for number, future in enumerate(futures):
            assert same_bits(future.result(WAIT_S)["y"], expected[0 if number % 2 else 1])


def test_one_that_is_frozen_is_replaced(fallback_in: Callable[..., Fallback], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.client.fallback.shared._SILENCE_S", 0.1)
    monkeypatch.setattr("sonic.client.fallback.running._ANSWER_S", 2.0)
    with Client(fallback=fallback_in("child", restarts=20)) as client:
        net = client.model("net")
        expected = net(x=X)["y"]
        frozen = client._router._fallback._shared.running  # type: ignore[union-attr]
        os.kill(frozen.owner.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, frozen.owner.process.pid, os.WSTOPPED | os.WNOWAIT)  # until then it may answer
        assert same_bits(net(x=X)["y"], expected)
        assert frozen.owner.process.wait(WAIT_S)  # to be killed takes time where all cores are busy
        assert frozen.owner.process.status == -signal.SIGKILL


def test_all_servers_gone_then_the_fallback_too(zoo: Path, fallback_in: Callable[..., Fallback]) -> None:
    fallback = fallback_in("child", restarts=1)
    with (
        ServeProcess([zoo], options=("--model", "net")) as one,
        ServeProcess([zoo], options=("--model", "net")) as other,
        Client([one.grpc_url, other.grpc_url], fallback=fallback, settings=QUICK) as client,
    ):
        net = client.model("net")
        expected = net(x=X)["y"]
        for process in (one, other):
            os.kill(process.pid, signal.SIGKILL)
        for _ in range(2):  # the second is the one that it is started again
            assert same_bits(net(x=X)["y"], expected)
            os.kill(pid_of(client), signal.SIGKILL)
        with pytest.raises(Unavailable) as caught:
            net(x=X)
        assert (
            f"fallback local:{zoo} (child) failed 2 times and is not started again: it died: "
            "sonic serve was ended by SIGKILL" in str(caught.value)
        )


@pytest.mark.parametrize("how", ["inprocess", "child"])
def test_a_model_that_cannot_be_loaded(fallback_in: Callable[..., Fallback], how: str) -> None:
    with Client(fallback=fallback_in(how)) as client:
        for _ in range(2):
            with pytest.raises(ModelFailed, match=r"zoo.*: model 'broken' cannot be loaded: .*model\.onnx"):
                client.model("broken")(x=X)
        with pytest.raises(ModelNotFound, match=r"model 'absent' cannot be loaded: .*no model 'absent'"):
            client.model("absent")(x=X)
        assert client.model("net")(x=X)["y"].shape == (64, 4)


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with (
        Client(fallback=Fallback(str(tmp_path), "child", restarts=0)) as client,
        pytest.raises(Unavailable, match=r"could not be started: sonic serve ended with status 1 .*one model's folder"),
    ):
        client.model("net")(x=X)


def test_the_deadline_holds_while_it_starts(zoo: Path) -> None:
    with Client(fallback=Fallback(str(zoo), "child"), timeout_s=0.01) as client, pytest.raises(DeadlineExceeded):
        client.model("net")(x=X)


def test_no_folder() -> None:
    with pytest.raises(ConfigError, match="fallback /nowhere is not a folder of models"):
        Spare(Fallback("/nowhere", "child"))


def test_a_folder_is_found_from_another_one(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models.parent)
    spare = Spare(models.name)
    monkeypatch.chdir(tmp_path)
    assert spare.start().submit(echo_request()).result(WAIT_S).outputs
    spare.close()


def test_a_model_released_while_it_is_called_is_loaded_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spare = Spare(models)
    with monkeypatch.context() as meanwhile:
        reach = spare._reach

        def reach_and_release(model: str) -> Promise[Running]:
            reached = reach(model)
            reached.result(WAIT_S)
            spare.release(model)
            return reached

        meanwhile.setattr(spare, "_reach", reach_and_release)
        spare.submit(echo_request()).exception(WAIT_S)
    assert spare._here == {}, "nor is it called again as if it were loaded"
    assert spare.submit(echo_request()).result(WAIT_S).outputs
    spare.close()


def test_one_that_is_closed(models: Path) -> None:
    spare = Spare(models)
    assert spare.transport is None
    assert (spare.models(), spare.statistics("echo").inference_count, spare.ready()) == ((), 0, True)
    assert spare.transport is None  # asking that starts nothing
    way = spare.start()
    assert way is spare.start() is spare.transport
    assert way.submit(echo_request()).result(WAIT_S).outputs
    spare.close()
    spare.close()
    assert not spare.ready()
    assert isinstance(way.submit(echo_request()).exception(WAIT_S), Cancelled)
    with pytest.raises(Cancelled):
        spare.start()


def test_a_forked_process_has_its_own(zoo: Path) -> None:
    program = """
import os, sys
import numpy as np, sonic
x = np.ones((2, 16), np.float32)
with sonic.Client(fallback=sonic.Fallback(sys.argv[1], "child")) as client:
    net = client.model("net")
    net(x=x)
    child = os.fork()
    if not child:
        with client:
            rows = len(net(x=x)["y"])
        os._exit(rows)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code + len(net(x=x)["y"]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(zoo)], timeout=2 * WAIT_S, check=False)
    assert done.returncode == 2 + 2


def test_settings_name_one(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    path.write_text(f'[sonic]\nchain = ["fallback"]\n[sonic.fallback]\nfolder = "{zoo}"\ncores = 1\n')
    with Client([NOWHERE], settings=path) as client:
        assert client.settings.fallback == Fallback(str(zoo), cores=1)
        assert client.model("net")(x=X)["y"].shape == (64, 4)
    with Client([NOWHERE], settings=path, fallback=False) as client, pytest.raises(Unavailable):
        client.model("net")(x=X)
    with Client([NOWHERE], settings=ClientSettings(fallback=str(zoo))) as client:
        assert client.model("net")(x=X)["y"].shape == (64, 4)
