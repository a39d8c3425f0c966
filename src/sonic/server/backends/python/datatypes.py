"""Datatypes and the bytes of texts, under the names of Triton's Python backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import InvalidRequest
from sonic.protocol.modelconfig import data_type_of, dtype_of
from sonic.protocol.proto.model_config_pb2 import DataType
from sonic.protocol.tensors import to_wire
from sonic.specs import DType

if TYPE_CHECKING:
    import numpy.typing as npt

TRITON_STRING_TO_NUMPY: dict[str, type] = {
    name: dtype_of(number).numpy.type for name, number in DataType.items() if number != DataType.TYPE_INVALID
}
"""numpy's types by the datatypes of a configuration; texts are ``numpy.object_``."""


def triton_string_to_numpy(triton_type_string: str) -> type:
    """Return numpy's type of a datatype, e.g. ``numpy.float32`` of ``"TYPE_FP32"``; texts are ``numpy.object_``."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def triton_to_numpy_type(data_type: int) -> type | None:
    """Return numpy's type of a number of the enumeration ``DataType``; None if there is none."""
    return TRITON_STRING_TO_NUMPY.get(DataType.Name(data_type)) if data_type in DataType.values() else None


def numpy_to_triton_type(data_type: npt.DTypeLike) -> int | None:
    """Return the number that the enumeration ``DataType`` has for a numpy type; None if it has none."""
    try:
        return data_type_of(DType.of(np.empty(0, data_type)))
    except InvalidRequest:
        return None


def serialize_byte_tensor(input_tensor: np.ndarray) -> bytes:
    """Return texts as they are on the wire: each in row-major order, after its length in four bytes.

    Raises
    ------
    TypeError
        If it is an array of something else.
    """
    if input_tensor.dtype.kind not in "OSU":
        raise TypeError(f"expected an array of texts, given one of {input_tensor.dtype}")
    return bytes(to_wire(input_tensor, DType.BYTES))


def deserialize_bytes_tensor(encoded_tensor: bytes) -> np.ndarray[Any, Any]:
    """Return texts that came so, as an array of bytes objects with one dimension.

    Raises
    ------
    ValueError
        If a text is cut off.
    """
    texts: list[bytes] = []
    offset, end = 0, len(encoded_tensor)
    while offset < end:
        start = offset + 4
        offset = start + int.from_bytes(encoded_tensor[offset:start], "little")
        if offset > end:
            raise ValueError(f"text {len(texts)} ends at byte {offset}, and there are {end}")
        texts.append(bytes(encoded_tensor[start:offset]))
    array = np.empty(len(texts), np.object_)
    array[:] = texts
    return array
