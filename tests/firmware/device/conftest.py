"""A stand-in for ``pyxrt``, as its documentation has it: host and card have memories of their own."""

from __future__ import annotations

import sys
from enum import Enum
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

KERNEL = "alveo_hls4ml"
State = Enum(
    "ert_cmd_state",
    [
        f"ERT_CMD_STATE_{name}"
        for name in [
            "NEW",
            "QUEUED",
            "COMPLETED",
            "ERROR",
            "ABORT",
            "SUBMITTED",
            "TIMEOUT",
            "NORESPONSE",
            "SKERROR",
            "SKCRASHED",
        ]
    ],
)
Direction = Enum("xclBOSyncDirection", ["XCL_BO_SYNC_BO_TO_DEVICE", "XCL_BO_SYNC_BO_FROM_DEVICE"])


class FakeCard:
    """What the module shows of a card, and what a test does to it.

    Attributes
    ----------
    units : dict of str to str
        By compute unit: ``works``, ``hangs`` or ``fails``.
    compute : callable
        Of the bytes of a block's inputs to those of its results.
    ran : list of str
        Units in the order in which they were started.
    most : int
        Blocks that were under way at once.
    """

    def __init__(self) -> None:
        self.units = {f"{KERNEL}_{number}": "works" for number in (1, 2)}
        self.compute: Callable[[np.ndarray], np.ndarray] = lambda given: given
        self.kernels = [KERNEL]
        self.ran: list[str] = []
        self.under_way: set[int] = set()
        self.most = 0
        self.serial = count()

    def module(self) -> ModuleType:
        card = self

        class device:  # noqa: N801 - as all of pyxrt
            def __init__(self, index: int) -> None:
                if index:
                    raise RuntimeError(f"Could not open device with index '{index}'")

            def load_xclbin(self, binary: xclbin) -> str:
                return f"uuid of {binary.file}"

        class xclbinkernel:  # noqa: N801
            def __init__(self, name: str) -> None:
                self._name = name

            def get_name(self) -> str:
                return self._name

        class xclbin:  # noqa: N801
            def __init__(self, file: str) -> None:
                if Path(file).read_bytes()[:7] != b"xclbin2":
                    raise RuntimeError("Invalid xclbin")
                self.file = file

            def get_kernels(self) -> list[xclbinkernel]:
                return [xclbinkernel(name) for name in card.kernels]

        class bo:  # noqa: N801
            normal = object()

            def __init__(self, owner: device, size: int, flags: object, group: int) -> None:
                assert isinstance(owner, device)
                assert flags is bo.normal
                self.group = group
                self.host = np.full(size, 0xA5, np.uint8)
                self.card = np.full(size, 0x5A, np.uint8)

            def size(self) -> int:
                return len(self.host)

            def write(self, data: Any, seek: int) -> None:
                raw = np.frombuffer(data, np.uint8)
                self.host[seek : seek + len(raw)] = raw

            def read(self, size: int, skip: int) -> np.ndarray:
                return self.host[skip : skip + size].copy().view(np.int8)

            def sync(self, direction: Any, size: int, offset: int) -> None:
                part = slice(offset, offset + size)
                to_card = direction is Direction.XCL_BO_SYNC_BO_TO_DEVICE
                source, target = (self.host, self.card) if to_card else (self.card, self.host)
                target[part] = source[part]

        class run:  # noqa: N801
            def __init__(self, unit: str, given: bo, made: bo) -> None:
                self.unit, self.given, self.made = unit, given, made
                self._state = State.ERT_CMD_STATE_NEW
                self._serial = next(card.serial)
                card.under_way.add(self._serial)
                card.most = max(card.most, len(card.under_way))
                card.ran.append(unit)

            def state(self) -> Any:
                if self._state is State.ERT_CMD_STATE_NEW:
                    self._state = State.ERT_CMD_STATE_SUBMITTED
                elif self._state is State.ERT_CMD_STATE_SUBMITTED and card.units[self.unit] != "hangs":
                    self._end()
                return self._state

            def _end(self) -> None:
                card.under_way.discard(self._serial)
                if card.units[self.unit] == "fails":
                    self._state = State.ERT_CMD_STATE_ERROR
                    return
                self.made.card[:] = card.compute(self.given.card)
                self._state = State.ERT_CMD_STATE_COMPLETED

        class kernel:  # noqa: N801
            def __init__(self, owner: device, uuid: str, name: str) -> None:
                assert isinstance(owner, device)
                assert uuid.startswith("uuid of ")
                self.unit = name.removeprefix(f"{KERNEL}:{{").removesuffix("}")
                if self.unit not in card.units:
                    raise RuntimeError(f"No compute units with name '{name}' found")

            def group_id(self, argument: int) -> int:
                return 10 * list(card.units).index(self.unit) + argument

            def __call__(self, *buffers: bo) -> run:
                if [each.group for each in buffers] != [self.group_id(0), self.group_id(1)]:
                    raise RuntimeError("a buffer is in a bank that the compute unit does not reach")
                return run(self.unit, *buffers)

        made: Any = ModuleType("pyxrt")
        made.device, made.xclbin, made.bo, made.kernel, made.run = device, xclbin, bo, kernel, run
        made.ert_cmd_state, made.xclBOSyncDirection = State, Direction
        return made


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    """A card in this machine."""
    fake = FakeCard()
    monkeypatch.setitem(sys.modules, "pyxrt", fake.module())
    return fake


@pytest.fixture
def xclbin(tmp_path: Path) -> Path:
    """A card's firmware."""
    file = tmp_path / "card.xclbin"
    file.write_bytes(b"xclbin2\0")
    return file
