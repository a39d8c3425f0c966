from __future__ import annotations

import logging
import os
import shutil
import threading
from typing import Any

import pytest

from sonic.errors import ConfigError
from sonic.protocol.messages import InferRequest
from sonic.server.models.polling import Poller
from sonic.server.models.repository import Repository


@pytest.fixture
def repository(folder: Any) -> Any:
    folder.identity("a", "INT8")
    made = Repository([folder.path], cores=1)
    made.load_all()
    yield made
    made.close()


def served(repository: Repository) -> list[str]:
    return [f"{model.spec.name}/{model.spec.version}" for model in repository.models()]


def test_what_is_new_is_loaded_and_what_is_gone_unloaded(folder: Any, repository: Repository) -> None:
    poller = Poller(repository, 1.0)
    folder.identity("b", "INT8")
    poller.poll()
    assert served(repository) == ["a/1", "b/1"]
    shutil.rmtree(folder.path / "a")
    poller.poll()
    assert served(repository) == ["b/1"]
    folder.identity("a", "INT8")
    poller.poll()
    assert served(repository) == ["a/1", "b/1"]


def test_it_loads_no_more_once_it_is_stopped(folder: Any, repository: Repository) -> None:
    poller = Poller(repository, 1.0)
    folder.identity("b", "INT8")
    poller.stop()
    poller.poll()
    assert served(repository) == ["a/1"]


def test_of_those_to_serve_one_may_go_and_come_back(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "c"):
        folder.identity(name, "INT8")
    repository = Repository([folder.path], cores=1, only=("a", "b"))
    repository.load_all()
    poller = Poller(repository, 1.0)
    shutil.rmtree(folder.path / "a")
    folder.identity("b", "FP32")
    with caplog.at_level(logging.ERROR, "sonic.server"):
        poller.poll()
    assert caplog.messages == []
    assert served(repository) == ["b/1"]
    assert repository.get("b").spec.inputs[0].dtype.name == "FP32"
    assert not repository.failed()
    folder.identity("a", "INT8")
    poller.poll()
    assert served(repository) == ["a/1", "b/1"]
    repository.close()


def test_only_what_has_changed_is_loaded_again(folder: Any, repository: Repository) -> None:
    folder.identity("b", "INT8")
    repository.load("b")
    poller = Poller(repository, 1.0)
    before = {model.spec.name: model for model in repository.models()}
    folder.identity("a", "FP32")
    (folder.path / "b" / "1" / "__pycache__").mkdir()
    (folder.path / "b" / ".hidden").mkdir()
    poller.poll()
    after = {model.spec.name: model for model in repository.models()}
    assert after["a"] is not before["a"]
    assert after["a"].spec.inputs[0].dtype.name == "FP32"
    assert after["b"] is before["b"]


def test_a_new_version(folder: Any, repository: Repository) -> None:
    poller = Poller(repository, 1.0)
    folder.add("a", version="2")
    poller.poll()
    assert served(repository) == ["a/2"]


def test_a_changed_file_of_the_same_size(folder: Any) -> None:
    file = folder.onnx("a")
    repository = Repository([folder.path], cores=1)
    repository.load_all()
    poller = Poller(repository, 1.0)
    (before,) = repository.models()
    os.utime(file, ns=(1, 1))
    poller.poll()
    assert repository.models()[0] is not before
    repository.close()


def test_what_cannot_be_loaded_is_said_once_and_loaded_when_it_is_whole(
    folder: Any, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    poller = Poller(repository, 1.0)
    (folder.path / "a" / "config.pbtxt").write_text("half a")
    with caplog.at_level(logging.ERROR, "sonic.server"):
        poller.poll()
        poller.poll()
    assert len(caplog.messages) == 1
    assert "config.pbtxt" in caplog.text
    assert served(repository) == ["a/1"]  # as it was
    folder.identity("a", "FP32")
    poller.poll()
    assert repository.models()[0].spec.inputs[0].dtype.name == "FP32"


def test_a_folder_that_cannot_be_read_changes_nothing(
    folder: Any, other_folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder.identity("a", "INT8")
    repository = Repository([folder.path, other_folder.path], cores=1)
    repository.load_all()
    poller = Poller(repository, 1.0)
    other_folder.path.rmdir()
    with caplog.at_level(logging.ERROR, "sonic.server"):
        poller.poll()
        poller.poll()
    assert caplog.messages == [f"no model repository {other_folder.path}"]
    assert served(repository) == ["a/1"]
    repository.close()


def test_links_in_a_circle(folder: Any, repository: Repository) -> None:
    (folder.path / "a" / "1" / "up").symlink_to(folder.path / "a")
    (folder.path / "a" / "1" / "nowhere").symlink_to(folder.path / "gone")
    poller = Poller(repository, 1.0)
    before = repository.models()
    poller.poll()
    assert repository.models() == before


@pytest.mark.parametrize("interval_s", [0, -1.0, float("nan"), float("inf"), 1e300])
def test_an_interval_that_makes_no_sense(interval_s: float, repository: Repository) -> None:
    with pytest.raises(ConfigError, match="above 0 s"):
        Poller(repository, interval_s)


def test_a_server_polls(folder: Any, serve: Any, until: Any) -> None:
    server = serve(folder, poll_s=0.01)
    assert server.dataplane.ready()
    folder.identity("a", "INT8")
    until(lambda: server.dataplane.model_ready("a"))
    shutil.rmtree(folder.path / "a")
    until(lambda: not server.dataplane.model_ready("a"))
    assert server.dataplane.infer(InferRequest("a", {})).exception() is not None
    with pytest.raises(ConfigError, match="not both"):
        serve(folder, poll_s=1.0, explicit=True)


def test_a_model_that_hangs_holds_up_no_other(folder: Any, serve: Any, script: Any, until: Any) -> None:
    server = serve(folder, poll_s=0.01)
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(30)
    folder.scripted("hangs")
    assert loading.wait(10)
    folder.identity("a", "INT8")
    until(lambda: server.dataplane.model_ready("a"))
    shutil.rmtree(folder.path / "hangs")
    shutil.rmtree(folder.path / "a")
    until(lambda: not server.dataplane.model_ready("a"))
    gate.set()
    assert server.repository.settle(10)
    until(lambda: not server.repository.models())


def test_a_server_drains_while_it_loads_what_it_has_found(folder: Any, serve: Any, script: Any) -> None:
    server = serve(folder, poll_s=0.01)
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(10)
    folder.scripted()
    assert loading.wait(10)
    assert server.close(drain_s=0.01) is False
    assert not server.dataplane.accepting
    gate.set()
    assert server.repository.settle(10)
    assert script.closed == 1
