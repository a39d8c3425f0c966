"""A card whose time is modelled, and whose bits are the emulator's.

A block is computed here, and given back when the modelled card would be done with it. If that has passed by then, it is
late: what is measured in such a run is less than the card would do, never more. The log says how many blocks were.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from sonic.errors import Unavailable
from sonic.firmware.device.card import Answer, Card
from sonic.firmware.device.timing import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from sonic.firmware.device.timing import CardModel, Passage

log = logging.getLogger("sonic.server")


class _Block(NamedTuple):
    rows: NDArray[np.float64]
    passage: Passage


class ModelledCard(Card[_Block]):
    """Computes with an emulator, and takes the time of a card.

    Parameters
    ----------
    name : str
        Of the model, for the log.
    model : CardModel
    emulate : callable
        Of rows [N, inputs] and a number of threads, as :meth:`sonic.firmware.build.Firmware.emulator` returns it.
    cores : int
        On which it computes at once.
    clock, sleep : callable
        In seconds.

    Attributes
    ----------
    blocks, late : int
        Blocks so far, and those that came later than the model says.
    most_late_s : float
    """

    def __init__(
        self,
        name: str,
        model: CardModel,
        emulate: Callable[[NDArray[np.float64], int], NDArray[np.float64]],
        *,
        cores: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.block, self.slots = model.block, model.slots
        self.blocks = self.late = 0
        self.most_late_s = 0.0
        self._name = name
        self._emulate = emulate
        self._timeline = Timeline(model)
        self._lock = threading.Lock()
        self._cores = threading.Semaphore(cores)  # more at once would only be later, all of them
        self._clock, self._sleep = clock, sleep
        log.warning(
            "model %r: a card that is modelled, not there: the bits are its emulator's, the time is computed: %s",
            *(name, model),
        )

    def enqueue(self, rows: NDArray[np.float64], timeout_s: float) -> _Block:  # noqa: ARG002 - `wait` knows when
        """Give it a block; the wait for a buffer is part of the time that is modelled."""
        with self._lock:
            self.blocks += 1
            return _Block(rows, self._timeline.enqueue(self._clock()))

    def wait(self, handle: _Block, timeout_s: float) -> Answer:
        """Return a block's results, not before the modelled card would.

        Raises
        ------
        Unavailable
            If that is longer than `timeout_s` from now.
        """
        passage = handle.passage
        if passage.done_s - self._clock() > timeout_s:
            self._sleep(timeout_s)
            raise Unavailable(f"model {self._name!r}: the modelled card has not answered in {timeout_s:g} s")
        with self._cores:
            rows = self._emulate(handle.rows, 1)
        late_s = self._clock() - passage.done_s
        if late_s < 0:
            self._sleep(-late_s)
        else:
            self._note(late_s)
        return Answer(rows, passage.done_s - passage.arrived_s, max(late_s, 0.0))

    def close(self) -> None:
        """Say how it went."""
        if self.late and not _is_power_of_ten(self.late):
            self._say()

    def _note(self, late_s: float) -> None:
        with self._lock:
            self.late += 1
            self.most_late_s = max(self.most_late_s, late_s)
            if _is_power_of_ten(self.late):
                self._say()

    def _say(self) -> None:
        log.warning(
            "model %r: the emulator was slower than the modelled card for %d of %d blocks, by %.3g s at most: "
            "measured times are above the modelled ones",
            *(self._name, self.late, self.blocks, self.most_late_s),
        )


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip("0") == "1"
