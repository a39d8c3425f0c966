from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.protocol.messages import InferRequest
from sonic.server import memory
from sonic.server.repository import Repository

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
