from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import psutil
import pytest

from sonic.client.fallback import ServeProcess
from sonic.client.model import Model
from sonic.errors import Cancelled, Unavailable
from sonic.testing.conformance import BATCHING

if TYPE_CHECKING:
    from pathlib import Path


def test_it_serves_until_it_is_closed(models: Path) -> None:
    with ServeProcess([models], cores=1, options=("--max-queue", "7")) as child:
        with Model(f"{child.grpc_url}/echo") as model:
            assert model.spec == BATCHING
        with Model(f"{child.http_url}/echo") as model:
            assert model.spec == BATCHING
        process = psutil.Process(child.pid)
        assert {"--cores", "--max-queue", "7", "--busy-poll-us"} <= set(process.cmdline())
        assert "grpc://" in child.process.log()
    assert not process.is_running()


def test_it_runs_no_files_of_the_working_folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit('not the library')")
    monkeypatch.chdir(tmp_path)
    with ServeProcess([models], cores=1) as child, Model(f"{child.grpc_url}/echo") as model:
        assert model.spec == BATCHING


def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"ended with status \d+ before it was ready") as caught:
        ServeProcess([tmp_path / "absent"])
    assert "absent" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_takes_too_long(models: Path) -> None:
    with pytest.raises(Unavailable, match=r"was not ready within 0\.001 s"):
        ServeProcess([models], start_timeout_s=0.001)


def test_one_that_is_not_wanted_any_more(models: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled, match="not needed any more"):
        ServeProcess([models], stop=stop)
