"""The backend ``fpga``: firmware's emulator as a model like any other.

A version's folder is what ``sonic firmware build`` makes. What the host does to rows before is done here. Rows are
computed one by one, so that requests may share executions as they like. ``parameters`` of config.pbtxt that count here:
``invalid``, what becomes of rows with NaN or infinities and of numbers outside of the input's type: ``count`` (the
default: they are computed, which gives NaN for the first and wraps or saturates the second, as the type says, and the
log says how many there were) or ``refuse``; and ``threads``, on which an execution computes its rows: 1 unless given.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sonic.errors import InvalidRequest
from sonic.firmware.build import DOCUMENT, load
from sonic.server.backends.base import Backend, choice_parameter, instance_count, int_parameter
from sonic.server.completion import Signature
from sonic.server.instances import Instance
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sonic.firmware.build import Firmware
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.base import LoadContext

log = logging.getLogger("sonic.server")

BLOCK_ROWS = 16_384
"""Of a block that a card takes at once, in FaaST (arXiv:2010.08556)."""


class FpgaBackend(Backend):
    """One version of firmware, emulated."""

    platform: ClassVar[str] = "fpga_emulator"
    filename: ClassVar[str] = DOCUMENT
    steady: ClassVar[bool] = True

    def __init__(self, context: LoadContext) -> None:
        self._firmware = firmware = load(context.folder)
        self._emulate = firmware.emulator()
        refuses = choice_parameter(context.config, "invalid", ("count", "refuse")) == "refuse"
        self._checks = Checks(context.name, firmware, refuses=refuses)
        self._threads = min(max(int_parameter(context.config, "threads", 1), 1), context.cores)
        self._count = instance_count(context.config, context.cores, self._threads)

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
        """Take batches as large as a card's block, where the owner says nothing."""
        if not config.max_batch_size and not config.input and not config.output:
            config.max_batch_size = BLOCK_ROWS
            if config.WhichOneof("scheduling_choice") is None:
                config.dynamic_batching.SetInParent()

    def instances(self) -> Sequence[Instance]:
        """Return as many as config.pbtxt asks for, or as the cores carry."""
        return [_Emulated(self._firmware, self._emulate, self._checks, self._threads)] * self._count


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
