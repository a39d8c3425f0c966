"""The backend ``fpga``: firmware's emulator, or a card, as a model like any other.

A version's folder is what ``sonic firmware build`` makes. What the host does to rows before is done here. Rows are
computed one by one, so that requests may share executions as they like. ``parameters`` of config.pbtxt that count here:
``invalid``, what becomes of rows with NaN or infinities and of numbers outside of the input's type: ``count`` (the
default: they are computed, which gives NaN for the first and wraps or saturates the second, as the type says, and the
log says how many there were) or ``refuse``; ``threads``, on which an execution of the emulator computes its rows: 1
unless given; and ``device``, with what :mod:`sonic.firmware.device.settings` reads beside it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sonic.errors import InvalidRequest
from sonic.firmware.build import DOCUMENT, load
from sonic.firmware.device import settings
from sonic.server.backends.base import Backend, choice_parameter, instance_count, int_parameter
from sonic.server.backends.completion import Signature
from sonic.server.execution.instances import Instance
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sonic.firmware.build import Firmware
    from sonic.firmware.device.card import Card
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.base import LoadContext

log = logging.getLogger("sonic.server")


class FpgaBackend(Backend):
    """One version of firmware, emulated or on a card."""

    platform: ClassVar[str] = "fpga_emulator"
    filename: ClassVar[str] = DOCUMENT

    def __init__(self, context: LoadContext) -> None:
        self._firmware = firmware = load(context.folder)
        self._device = settings.read(context.config, firmware)
        refuses = choice_parameter(context.config, "invalid", ("count", "refuse")) == "refuse"
        self._checks = Checks(context.name, firmware, refuses=refuses)
        self._threads = min(max(int_parameter(context.config, "threads", 1), 1), context.cores)
        self._count = instance_count(context.config, context.cores, self._threads)
        self._card = self._device.open(context, firmware)
        self.steady = self._card is None

    @property
    def signature(self) -> Signature:
        """Tensors as the model calls them that the firmware was made of."""
        network = self._firmware.network
        given, made = network.names
        return Signature(
            (TensorSpec(given, DType.FP32, (-1, *network.given_shape)),),
            (TensorSpec(made, DType.FP32, (-1, *network.shapes[network.output])),),
            batch=True,
        )

    def amend(self, config: ModelConfig) -> None:
        """Say what device it is, and take batches as large as a card's block, where the owner says nothing."""
        self._device.amend(config)

    def instances(self) -> Sequence[Instance]:
        """Return one for each block that a card has under way; or as many emulators as the cores carry."""
        if self._card is not None:
            card = self._card
            return [_OnCard(self._firmware, card, self._device.timeout_s, self._checks) for _ in range(card.slots)]
        emulate = self._firmware.emulator()
        return [_Emulated(self._firmware, emulate, self._checks, self._threads)] * self._count

    def close(self) -> None:
        """Release the card."""
        if self._card is not None:
            self._card.close()


class Checks:
    """What numbers come that firmware does not have. Thread-safe.

    Parameters
    ----------
    name : str
        Of the model.
    firmware : Firmware
    refuses : bool
        Whether they are refused.

    Attributes
    ----------
    invalid, outside : int
        Rows with NaN or infinities, and numbers outside of the input's type, so far.
    """

    def __init__(self, name: str, firmware: Firmware, *, refuses: bool) -> None:
        self.invalid = self.outside = 0
        self._name = name
        self._number = firmware.precision.input
        self._refuses = refuses
        self._lock = threading.Lock()
        self._said = 0

    def look(self, rows: np.ndarray) -> np.ndarray:
        """Return which rows [N, numbers] are not finite, bool array [N].

        Raises
        ------
        InvalidRequest
            If there are such rows, or numbers outside, and they are refused.
        """
        # Mostly all is well, and the least and the most say so: comparisons with NaN are false.
        if rows.size and self._number.lowest <= rows.min() and rows.max() <= self._number.highest:
            return np.zeros(len(rows), np.bool_)
        bad: np.ndarray = ~np.isfinite(rows).all(axis=1)
        outside = int(np.count_nonzero(~self._number.holds(rows[~bad])))
        invalid = int(np.count_nonzero(bad))
        if self._refuses and (invalid or outside):
            what = f"{invalid} rows are not finite" if invalid else f"{outside} numbers are outside of {self._number}"
            raise InvalidRequest(f"model {self._name!r}: {what}")
        if invalid or outside:
            with self._lock:
                self.invalid += invalid
                self.outside += outside
                total = self.invalid + self.outside
                if total >= 10 * self._said:
                    self._said = total
                    log.warning(
                        "model %r: %d rows so far were not finite, %d numbers outside of %s",
                        *(self._name, self.invalid, self.outside, self._number),
                    )
        return bad


class _Emulated(Instance):
    def __init__(
        self, firmware: Firmware, emulate: Callable[[np.ndarray, int], np.ndarray], checks: Checks, threads: int
    ) -> None:
        self._network = firmware.network
        self._emulate = emulate
        self._checks = checks
        self._threads = threads

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:  # noqa: ARG002
        given, made = self._network.names
        rows = inputs[given]
        flat = self._network.prepare(rows).reshape(len(rows), self._network.inputs_per_row)
        bad = self._checks.look(flat)
        if bad.any():
            flat[bad] = 0.0
        computed = self._emulate(flat, self._threads).astype(np.float32)
        computed[bad] = np.nan
        return {made: computed.reshape(len(rows), *self._network.shapes[self._network.output])}


class _OnCard(_Emulated):
    """Computes on a card, block by block."""

    def __init__(self, firmware: Firmware, card: Card[Any], timeout_s: float, checks: Checks) -> None:
        super().__init__(firmware, self._compute, checks, 1)
        self._card = card
        self._timeout_s = timeout_s

    def _compute(self, rows: np.ndarray, threads: int) -> np.ndarray:  # noqa: ARG002 - a card has its own
        card = self._card
        answers = [
            card.wait(card.enqueue(rows[first : first + card.block], self._timeout_s), self._timeout_s)
            for first in range(0, max(len(rows), 1), card.block)
        ]
        self.parameters = settings.labels(answers)
        return np.concatenate([answer.rows for answer in answers])
