"""What a tensor and a model look like: datatypes, shapes, names. Depends on numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


class DType(Enum):
    """A datatype of the Open Inference Protocol v2; the member's name is its name on the wire.

    ``BYTES`` is an object array of :class:`bytes` in numpy. numpy has no bfloat16, so ``BF16`` is float32 in
    memory and is rounded to 16 bits on the wire.
    """

    BOOL = "bool"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FP16 = "float16"
    FP32 = "float32"
    FP64 = "float64"
    BF16 = "bfloat16"
    BYTES = "bytes"

    numpy: np.dtype[np.generic]
    """The numpy dtype that holds this datatype in memory."""

    wire_size: int | None
    """Bytes of one element on the wire; None for ``BYTES``, whose elements vary."""

    def __init__(self, name: str) -> None:
        self.numpy = np.dtype({"bytes": "object", "bfloat16": "float32"}.get(name, name))
        self.wire_size = {"bytes": None, "bfloat16": 2}.get(name, self.numpy.itemsize)

    @classmethod
    def from_wire(cls, name: str) -> DType:
        """Look a datatype up by its wire name, e.g. ``"FP32"``.

        Raises
        ------
        InvalidRequest
            If the protocol has no such datatype.
        """
        try:
            return _OF_WIRE[name]
        except KeyError:
            raise InvalidRequest(f"unknown datatype {name!r}: one of {', '.join(d.name for d in cls)}") from None

    @classmethod
    def of(cls, array: np.ndarray) -> DType:
        """Datatype of an array as it stands (``BF16`` is never guessed).

        Raises
        ------
        InvalidRequest
            If the array's dtype has no counterpart in the protocol.
        """
        if (known := _OF_NUMPY.get(array.dtype)) is not None:
            return known
        if array.dtype.kind in "OSU":
            return cls.BYTES
        try:
            return cls(array.dtype.newbyteorder("=").name)
        except ValueError:
            raise InvalidRequest(f"numpy dtype {array.dtype} has no counterpart in the protocol") from None


_OF_WIRE = {dtype.name: dtype for dtype in DType}
_OF_NUMPY = {dtype.numpy: dtype for dtype in DType if dtype is not DType.BF16}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor of a model.

    Parameters
    ----------
    name : str
    dtype : DType
    shape : tuple of int
        As a client sees it, the batch dimension included where the model has one; -1 where any size fits.
    optional : bool
        Whether a request may leave it out.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    optional: bool = False

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        if len(shape) != len(self.shape):
            return False
        for want, got in zip(self.shape, shape, strict=True):  # noqa: SIM110 - all() takes four times as long
            if want not in (got, -1):
                return False
        return True


def alike(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether there are arrays that fit both of two shapes, in which -1 is any size."""
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A served model as its clients see it.

    Parameters
    ----------
    name, version : str
    inputs, outputs : tuple of TensorSpec
    max_batch_size : int
        Largest first dimension of one request; 0 if the model has no batch dimension of its own.
    platform : str
        Triton's platform name, e.g. ``"onnxruntime_onnx"``.
    """

    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    platform: str = ""

    def input(self, name: str) -> TensorSpec:
        """Return the input of that name.

        Raises
        ------
        InvalidRequest
            If there is none; the message lists those there are.
        """
        return _by_name(self.inputs, name, self.name, "input")

    def output(self, name: str) -> TensorSpec:
        """Return the output of that name.

        Raises
        ------
        InvalidRequest
            If there is none; the message lists those there are.
        """
        return _by_name(self.outputs, name, self.name, "output")


def _by_name(specs: tuple[TensorSpec, ...], name: str, model: str, what: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    # Clients written for Triton know it by these words.
    there = ", ".join(s.name for s in specs) or "none"
    raise InvalidRequest(f"unexpected inference {what} {name!r} for model {model!r}: it has {there}")
