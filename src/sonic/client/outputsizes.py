"""How large the outputs of a request will be, learned from the answers to requests like it. Pure.

What is said too small costs an execution of the model, since its answer then finds no room. So a size is said only
where it was seen for the very shapes, or where the outputs grew with the rows, by the same bytes a row, at least
twice. An output whose size depends on what is in the inputs is found out by its changes, and then said no more.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.specs import DType

Key = tuple[object, ...]

_MOST_KEYS = 256
_MOST_ROWS = 1024
_MOST_CHANGES = 3


class Kind(NamedTuple):
    """What a request has in common with those that differ in their rows alone, and the rows; 0 if it has none."""

    model: str
    key: Key
    rows: int


@dataclass(slots=True)
class _Output:
    """Attributes: bytes by rows; bytes a row; whether the rows say all so far; how often it was not as before."""

    seen: dict[int, int] = field(default_factory=dict)
    row_bytes: int = 0
    linear: bool = True
    changes: int = 0

    def said(self, rows: int) -> int:
        """Bytes, or 0 if that is not known."""
        if self.changes >= _MOST_CHANGES:
            return 0
        known = self.seen.get(rows)
        if known is None and self.linear and len(self.seen) > 1:
            known = self.row_bytes * rows
        return known or 0

    def learn(self, rows: int, byte_size: int) -> None:
        if self.seen.get(rows, byte_size) != byte_size:
            self.changes += 1
            self.seen.clear()
            self.linear = True
        if not self.seen and rows > 0:
            self.row_bytes = byte_size // rows
        self.linear = self.linear and rows > 0 and byte_size == self.row_bytes * rows
        if len(self.seen) >= _MOST_ROWS:
            del self.seen[next(iter(self.seen))]
        self.seen[rows] = byte_size


class OutputSizes:
    """What was learned, for the shapes used last. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, dict[str, _Output]] = OrderedDict()

    def of(self, kind: Kind) -> Mapping[str, int] | None:
        """Say how many bytes each output of a request of this kind will have.

        Returns
        -------
        mapping of str to int, or None
            For every output that the answer will have; 0 for one of which it is not known, and for texts. None if
            nothing is known of such requests.
        """
        outputs = self._known.get(kind.key)
        if outputs is None:
            return None
        self._known.move_to_end(kind.key)
        return {name: output.said(kind.rows) for name, output in outputs.items()}

    def learn(self, kind: Kind, response: InferResponse) -> None:
        """Learn from the answer to a request."""
        outputs = self._known.setdefault(kind.key, {})
        if outputs.keys() != response.outputs.keys():  # another model by that name now
            outputs.clear()
        for name, array in response.outputs.items():
            size = _wire_bytes(array, response.dtype(name))
            outputs.setdefault(name, _Output()).learn(kind.rows, size)
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)


def kind_of(request: InferRequest) -> Kind:
    """Tell what kind of request it is."""
    shapes = [array.shape for array in request.inputs.values()]
    rows = shapes[0][0] if shapes and shapes[0] else 0
    if any(shape[:1] != (rows,) for shape in shapes):
        rows = 0
    else:
        shapes = [shape[1:] for shape in shapes]
    return Kind(request.model, (request.model, request.version, request.outputs, *request.inputs, *shapes), rows)


def _wire_bytes(array: np.ndarray, dtype: DType) -> int:
    size = dtype.wire_size
    return 0 if size is None else array.size * size
