"""A file of recorded requests, read where it lies; see :mod:`sonic.protocol.recording`."""

from __future__ import annotations

import logging
import mmap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError
from sonic.protocol.recording import decode, spans

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from sonic.protocol.messages import InferRequest

log = logging.getLogger("sonic.study")


class Recording:
    """Requests in the order in which they were sent. Can be pickled: it is opened again.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    due_s : float64 array [requests]
        When each was sent, in seconds from the first.
    models : dict of str to int
        Requests of each model.

    Raises
    ------
    DataError
        If the file cannot be read, or holds no request.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # ValueError: an empty file
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            raise DataError(f"cannot read the recording {self.path}: {reason}") from error
        found, rest = spans(self._data)
        if not found:
            raise DataError(f"{self.path} is no recording of requests: its first message is not whole")
        try:
            read = [decode(self._data[begin:end]) for begin, end in found]
        except DataError as error:
            raise DataError(f"{self.path} is no recording of requests: {error}") from error
        if rest:
            log.warning("%s: its last %d bytes are no whole request, and are left out", self.path, rest)
        sent_ns = np.array([when_ns for _, when_ns in read])
        order = np.argsort(sent_ns, kind="stable")
        self._spans = [found[i] for i in order]
        self.due_s: NDArray[np.float64] = (sent_ns[order] - sent_ns[order[0]]) / 1e9
        self.models = dict(Counter(request.model for request, _ in read))

    def __reduce__(self) -> tuple[type[Recording], tuple[Path]]:
        return Recording, (self.path,)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, i: int) -> InferRequest:
        """Return a request; its arrays are views of the file where they can be."""
        begin, end = self._spans[i]
        return decode(self._data[begin:end])[0]

    @property
    def n_bytes(self) -> int:
        """Size of the requests together."""
        return sum(end - begin for begin, end in self._spans)
