"""Rows as the memory of a card has them: numbers of fixed point in words of 512 bits. Pure.

As FaaST's firmware has it (github.com/fastmachinelearning/FaaST, hls4ml_c): numbers are whole multiples of the last
bit, lowest byte first; each row of inputs begins a word, and results lie one after the other. A number takes 8, 16 or
32 bits, the fewest that hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from sonic.firmware.device.timing import WORD_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.numbers import Fixed
    from sonic.firmware.precision import Precision


@dataclass(frozen=True, slots=True)
class Layout:
    """How a block of rows lies in the buffers of a card.

    Parameters
    ----------
    block : int
        Rows.
    inputs, outputs : int
        Numbers of a row.
    given, made : Fixed
        Their types.
    """

    block: int
    inputs: int
    outputs: int
    given: Fixed
    made: Fixed

    @classmethod
    def of(cls, network: Network, precision: Precision, block: int) -> Layout:
        """Return that of a network's rows."""
        made = precision.numbers(network)[network.output]
        return cls(block, network.inputs_per_row, network.outputs_per_row, precision.input, made)

    @property
    def row_bytes_in(self) -> int:
        """Of a row of inputs, with what is left of its last word."""
        return _words(self.inputs * _storage(self.given).itemsize)

    @property
    def row_bytes_out(self) -> int:
        """Of a row of results."""
        return self.outputs * _storage(self.made).itemsize

    @property
    def n_bytes_in(self) -> int:
        """Of the buffer of a block's inputs."""
        return self.block * self.row_bytes_in

    @property
    def n_bytes_out(self) -> int:
        """Of the buffer of its results."""
        return _words(self.block * self.row_bytes_out)

    def pack(self, rows: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return a buffer for the card.

        Parameters
        ----------
        rows : float64 array [N, inputs]
            Finite, at most a block; the type of the inputs wraps or saturates them.

        Returns
        -------
        uint8 array [n_bytes_in]
            With zeros for the rows that are missing.
        """
        storage = _storage(self.given)
        padded = np.zeros((self.block, self.row_bytes_in // storage.itemsize), storage)
        padded[: len(rows), : self.inputs] = self.given.quantise(rows) / self.given.step
        return padded.reshape(-1).view(np.uint8)

    def unpack(self, buffer: NDArray[np.uint8], n_rows: int) -> NDArray[np.float64]:
        """Return the results of the first rows, float64 array [n_rows, outputs], of a buffer uint8 [n_bytes_out]."""
        numbers = buffer[: n_rows * self.row_bytes_out].view(_storage(self.made))
        return numbers.reshape(n_rows, self.outputs) * self.made.step


def _storage(number: Fixed) -> np.dtype[np.integer]:
    n_bytes = next(size for size in (1, 2, 4) if number.total <= 8 * size)
    return np.dtype(f"<{'i' if number.signed else 'u'}{n_bytes}")


def _words(n_bytes: int) -> int:
    return ceil(n_bytes / WORD_BYTES) * WORD_BYTES
