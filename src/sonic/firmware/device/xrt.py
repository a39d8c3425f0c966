"""A real card, through AMD's runtime for Alveo cards (XRT) and its Python module ``pyxrt``.

The kernel has two arguments: a buffer with a block of inputs, and one for its results, as
:mod:`sonic.firmware.device.layout` has them. Each compute unit has several pairs of them, so that a block is brought or
fetched while the unit computes another. Interface: XRT's documentation, "XRT Python Bindings" and "XRT Native APIs".
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, Unavailable, one_line
from sonic.firmware.device.card import Answer, Card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sonic.firmware.device.layout import Layout

log = logging.getLogger("sonic.server")

REMAINING = "without a card there are device emulator and device modelled"
_POLL_S = 1e-4
_ENDS = ("COMPLETED", "ERROR", "ABORT", "TIMEOUT", "NORESPONSE", "SKERROR", "SKCRASHED")


class _Slot:
    """A pair of buffers of one compute unit, and what runs on them."""

    def __init__(self, xrt: Any, device: Any, kernel: Any, unit: str, layout: Layout) -> None:
        self.unit = unit
        self.n_rows = 0
        self.run: Any = None
        self._kernel = kernel
        self._to, self._from = (
            getattr(xrt.xclBOSyncDirection, f"XCL_BO_SYNC_BO_{way}_DEVICE") for way in ("TO", "FROM")
        )
        self._given = xrt.bo(device, layout.n_bytes_in, xrt.bo.normal, kernel.group_id(0))
        self._made = xrt.bo(device, layout.n_bytes_out, xrt.bo.normal, kernel.group_id(1))

    def start(self, packed: NDArray[np.uint8], n_rows: int) -> None:
        self.n_rows = n_rows
        self._given.write(packed, 0)
        self._given.sync(self._to, self._given.size(), 0)
        self.run = self._kernel(self._given, self._made)

    def fetch(self) -> NDArray[np.uint8]:
        size = self._made.size()
        self._made.sync(self._from, size, 0)
        return np.asarray(self._made.read(size, 0)).view(np.uint8)


class XrtCard(Card[_Slot]):
    """A card with firmware from an xclbin file.

    A compute unit that does not answer keeps its buffers, which it may still write to: they are not used until it does,
    and the others go on.

    Parameters
    ----------
    name : str
        Of the model, for errors and the log.
    xclbin : Path
    layout : Layout
    units : sequence of str or int
        Names of compute units; or how many, with the names that Vitis gives: ``KERNEL_1`` and so on.
    buffers : int
        Pairs of buffers of each.
    index : int
        Of the card.
    clock, sleep : callable
        In seconds.

    Raises
    ------
    ConfigError
        If there is no pyxrt, no such file or card, or the file is not of such a kernel; with what remains.
    """

    def __init__(
        self,
        name: str,
        xclbin: Path,
        layout: Layout,
        *,
        units: Sequence[str] | int = 4,
        buffers: int = 2,
        index: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import pyxrt
        except ImportError as error:
            raise ConfigError(
                f"device xrt needs pyxrt, which AMD's XRT installs ({one_line(error)}); {REMAINING}"
            ) from error
        if not xclbin.is_file():
            raise ConfigError(f"device xrt needs the card's firmware, and there is no {xclbin}; {REMAINING}")
        self.block = layout.block
        self._name = name
        self._layout = layout
        self._completed, *failed = (getattr(pyxrt.ert_cmd_state, f"ERT_CMD_STATE_{end}") for end in _ENDS)
        self._end_states = {self._completed, *failed}
        self._clock, self._sleep = clock, sleep
        try:
            self._device = pyxrt.device(index)
            binary = pyxrt.xclbin(str(xclbin))
            uuid = self._device.load_xclbin(binary)
            kernel = _only([each.get_name() for each in binary.get_kernels()], xclbin)
            names = [f"{kernel}_{number}" for number in range(1, units + 1)] if isinstance(units, int) else units
            kernels = [(unit, pyxrt.kernel(self._device, uuid, f"{kernel}:{{{unit}}}")) for unit in names]
            slots = [_Slot(pyxrt, self._device, each, unit, layout) for _ in range(buffers) for unit, each in kernels]
        except RuntimeError as error:  # of which pyxrt makes all that XRT throws
            raise ConfigError(f"card {index} cannot be used with {xclbin}: {one_line(error)}; {REMAINING}") from error
        self.slots = len(slots)
        self._free = deque(slots)
        self._hung: list[_Slot] = []
        self._changed = threading.Condition()

    def enqueue(self, rows: NDArray[np.float64], timeout_s: float) -> _Slot:
        """Bring a block to the buffers that have been free for longest, and start their unit."""
        packed = self._layout.pack(rows)
        slot = self._take(timeout_s)
        try:
            slot.start(packed, len(rows))
        except Exception as error:  # whatever it is, the buffers are free again
            self._give(slot)
            raise Unavailable(self._text(slot, f"did not take a block: {one_line(error)}")) from error
        return slot

    def wait(self, handle: _Slot, timeout_s: float) -> Answer:
        """Wait for a unit, and fetch what it made."""
        if not self._ends(handle, timeout_s):
            with self._changed:
                self._hung.append(handle)
                self._changed.notify_all()
            text = self._text(handle, f"has not answered in {timeout_s:g} s, its buffers are kept from use")
            log.error("%s", text)
            raise Unavailable(text)
        try:
            state = handle.run.state()
            if state != self._completed:
                raise Unavailable(self._text(handle, f"failed: {state}"))
            return Answer(self._layout.unpack(handle.fetch(), handle.n_rows))
        except RuntimeError as error:
            raise Unavailable(self._text(handle, f"failed: {one_line(error)}")) from error
        finally:
            self._give(handle)

    def close(self) -> None:
        """Let go of buffers and card: XRT frees them with the last reference."""
        self._free.clear()
        self._hung.clear()
        del self._device

    def _take(self, timeout_s: float) -> _Slot:
        with self._changed:
            self._recover()
            self._changed.wait_for(lambda: self._free or len(self._hung) == self.slots, timeout_s)
            if not self._free:
                waits = f"no buffer became free in {timeout_s:g} s"
                raise Unavailable(
                    f"model {self._name!r}: {'no compute unit answers' if len(self._hung) == self.slots else waits}"
                )
            return self._free.popleft()

    def _recover(self) -> None:
        """Take up again what has answered after all."""
        for slot in [each for each in self._hung if self._ended(each)]:
            self._hung.remove(slot)
            self._free.append(slot)
            log.warning("%s", self._text(slot, "has answered after all, and is used again"))

    def _give(self, slot: _Slot) -> None:
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def _ends(self, slot: _Slot, timeout_s: float) -> bool:
        """Wait for the end of a block. pyxrt's own way would keep the interpreter, and so every other unit, waiting."""
        until_s = self._clock() + timeout_s
        while not self._ended(slot):
            if self._clock() >= until_s:
                return False
            self._sleep(_POLL_S)
        return True

    def _ended(self, slot: _Slot) -> bool:
        try:
            return slot.run.state() in self._end_states
        except RuntimeError as error:  # a card that cannot be asked has not answered
            log.debug("%s", self._text(slot, one_line(error)))
            return False

    def _text(self, slot: _Slot, what: str) -> str:
        return f"model {self._name!r}: compute unit {slot.unit} {what}"


def _only(kernels: Sequence[str], xclbin: Path) -> str:
    if len(kernels) != 1:
        raise ConfigError(f"{xclbin} has kernels {', '.join(kernels) or 'none'}; one is expected")
    return kernels[0]
