from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import psutil
import pytest

from sonic.client.fallback import Fallback, ServeProcess
from sonic.client.model import Model
from sonic.errors import Cancelled, ConfigError, Unavailable
from sonic.testing.conformance import BATCHING, WAIT_S, echo_request

if TYPE_CHECKING:
    from pathlib import Path


def test_started_once_and_on_demand(models: Path) -> None:
    fallback = Fallback(models)
    assert fallback.transport is None
    transport = fallback.start()
    assert fallback.start() is transport
    assert transport.url == fallback.url
    assert transport.submit(echo_request()).result(WAIT_S).outputs
    fallback.close()
    with pytest.raises(Cancelled):
        fallback.start()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent is not a folder of models"):
        Fallback(tmp_path / "absent")


def test_one_that_cannot_be_started_is_unavailable(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_: object) -> None:
        raise ConfigError("nothing there")

    monkeypatch.setattr("sonic.client.fallback.connect", connect)
    with pytest.raises(Unavailable, match="cannot be started: nothing there"):
        Fallback(models).start()


def test_a_child_serves_until_it_is_closed(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ServeProcess([models], cores=1) as child:
        with Model(f"{child.grpc_url}/echo") as model:
            assert model.spec == BATCHING
        with Model(f"{child.http_url}/echo") as model:
            assert model.spec == BATCHING
        process = psutil.Process(child.pid)
        assert list(tmp_path.iterdir()) == []  # so that nothing is left, however it ends
        assert "grpc://" in child.log_tail()
    assert not process.is_running()
    assert child.log_tail() == ""


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"ended with status \d+ before it was ready") as caught:
        ServeProcess([tmp_path / "absent"])
    assert "absent" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_child_that_takes_too_long(models: Path) -> None:
    with pytest.raises(Unavailable, match=r"was not ready within 0\.001 s"):
        ServeProcess([models], start_timeout_s=0.001)


def test_a_child_does_not_outlive_its_owner(models: Path) -> None:
    program = (
        "import sys; from sonic.client.fallback import ServeProcess\n"
        f"child = ServeProcess([{os.fspath(models)!r}]); print(child.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = psutil.Process(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    owner.wait(WAIT_S)
    owner.stdout.close()
    if owner.stdin is not None:
        owner.stdin.close()
    assert not psutil.wait_procs([child], timeout=WAIT_S)[1]
