from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.protocol.messages import InferRequest
from sonic.server.machine import memory
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS = Path("/proc/self/statm")


def resident_mb() -> float:
    return int(STATUS.read_text().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(not STATUS.exists(), reason="there is no /proc")
def test_a_model_that_is_unloaded_leaves_nothing_behind(folder: Any, make_dense: Callable[..., bytes]) -> None:
    file = folder.onnx("a", make_dense((500, 1500, 1500, 1500, 10)))
    assert file.stat().st_size > 20e6
    repository = Repository([folder.path], cores=1)
    x = np.ones((64, 500), np.float32)
    resident: list[float] = []
    for _ in range(20):
        repository.load("a")
        repository.submit(InferRequest("a", {"x": x})).result(10)
        repository.unload("a")
        resident.append(resident_mb())
    assert resident[-1] - resident[2] < 20, "it grows, by more than one of 17 models"


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    memory.give_back()
    memory.share_one_arena()


ARENAS = """
import ctypes, re, sys, tempfile, threading
from sonic.server.machine.memory import share_one_arena

if sys.argv[1] == "one":
    share_one_arena()
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit("there is no malloc_info")
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
start = threading.Barrier(4)

def allocate():
    start.wait(20)
    libc.malloc(ctypes.c_size_t(5000))
    start.wait(20)

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(len(re.findall("<heap nr=", file.read().decode())))
"""


def arenas(how: str, **environment: str) -> int:
    before = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", ARENAS, how]
    done = subprocess.run(
        command, env={**before, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    if "there is no malloc_info" in done.stderr:
        pytest.skip("another C library")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_one_arena_for_all_threads() -> None:
    assert arenas("one") == 1
    assert arenas("many") > 1


def test_what_the_environment_says_of_arenas_has_precedence() -> None:
    assert arenas("one", MALLOC_ARENA_MAX="3") > 1


def test_circles_are_looked_for_less_often_meanwhile() -> None:
    before = gc.get_threshold()
    with memory.collected_seldom():
        assert gc.get_threshold()[0] >= 10 * before[0]
    assert gc.get_threshold() == before
