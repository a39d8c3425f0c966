"""The bytes that requests may hold while they wait, all models of a server together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sonic.errors import Unavailable
from sonic.limits import available_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_ELEMENT_BYTES = 48
"""What Python needs for an element of a BYTES tensor, beside its text."""


class Budget:
    """Counts the bytes of the requests that wait, and refuses those beyond a bound. Thread-safe.

    Parameters
    ----------
    max_bytes : int
        0: no bound.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self.max_bytes = max_bytes
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes that are held."""
        return self._held

    def take(self, label: str, inputs: Mapping[str, np.ndarray]) -> int:
        """Let a request wait.

        One that is larger than the bound itself may, as long as no other does.

        Parameters
        ----------
        label : str
            Of the model, for messages.
        inputs : mapping of str to ndarray

        Returns
        -------
        int
            Bytes to :meth:`give` back when it has ended.

        Raises
        ------
        Unavailable
            If those that wait would hold more than the bound.
        """
        if not self.max_bytes:
            return 0
        size = sum(map(array_bytes, inputs.values()))
        with self._lock:
            if self._held and self._held + size > self.max_bytes:
                held = f"the requests that wait hold {self._held} of {self.max_bytes} bytes"
                raise Unavailable(f"{label}: {held}, {size} more are not taken")
            self._held += size
        return size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        if size:
            with self._lock:
                self._held -= size


def array_bytes(array: np.ndarray) -> int:
    """Bytes that an array takes up, its texts included."""
    own = sum(_ELEMENT_BYTES + len(element) for element in array.reshape(-1)) if array.dtype.hasobject else 0
    return array.nbytes + own


def default_queue_bytes() -> int:
    """Return a quarter of the memory that this process may use; 0, no bound, if the system does not say."""
    return (available_memory_bytes() or 0) // 4
