"""ndarray <-> the bytes and the plain values that the protocol carries, for every datatype.

On the wire a tensor is little-endian and row-major without padding. An element of ``BYTES`` is its length in four
bytes and then its content; ``BOOL`` is one byte; ``BF16`` the upper half of a float32, rounded to nearest even.
Specification: the binary tensor data extension of the Open Inference Protocol.

Copies: :func:`to_wire` copies nothing if the array is contiguous and little-endian, :func:`from_wire` nothing if the
data is aligned.
"""

from __future__ import annotations

import struct
import sys
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import InvalidRequest, shown
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Array = np.ndarray[Any, Any]
    Buffer = bytes | bytearray | memoryview

_LITTLE = sys.byteorder == "little"
MAX_DIMENSIONS = 64
"""Of an array of numpy."""
MAX_NESTING = 100
"""Of the lists of a tensor in JSON: as Triton's, more than any array has dimensions."""
_KINDS: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""What JSON and typed contents have for the kinds of datatypes, as numpy calls those."""


class Misfit(InvalidRequest):
    """Bytes that are not the tensor that they are said to be.

    Parameters
    ----------
    text : str
        Expected and given, in words by which clients written for Triton know it; ``{what}``, ``{of}`` and ``{tensor}``
        are where ``input``, ``'x' for model 'm'`` and both together stand in them.
    dtype : DType
    shape : sequence of int
    """

    def __init__(self, text: str, dtype: DType, shape: Sequence[int]) -> None:
        self._text = f"{text}: {dtype.name} {list(shape)}"
        super().__init__(" ".join(self._text.format(what="", of="", tensor="tensor").split()))

    def of(self, what: str, name: str, model: str) -> InvalidRequest:
        """Return the error that says of which tensor it is; `what` is ``"input"`` or ``"output"``."""
        of = f"{name!r} for model {model!r}"
        return InvalidRequest(self._text.format(what=what, of=of, tensor=f"{what} {of}"))


def to_wire(array: Array, dtype: DType) -> Buffer:
    """Bytes of an array on the wire.

    Parameters
    ----------
    array : ndarray
        Any layout and byte order; of a numpy dtype that belongs to `dtype`. For ``BYTES``: bytes or str elements.
    dtype : DType

    Returns
    -------
    bytes-like
        Shares the array's memory where it can.

    Raises
    ------
    InvalidRequest
        If the array cannot be of that datatype.
    """
    if dtype is DType.BYTES:
        return b"".join(_with_lengths(array))
    if dtype is DType.BF16:
        array = _bfloat16_bits(array)
    elif array.dtype != dtype.numpy and array.dtype.newbyteorder("=") != dtype.numpy:
        raise InvalidRequest(f"numpy dtype {array.dtype} is not {dtype.name}")
    if not (_LITTLE and array.flags.c_contiguous and array.dtype.isnative):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


def from_wire(data: Buffer, dtype: DType, shape: Sequence[int]) -> Array:
    """Array whose bytes came over the wire.

    Parameters
    ----------
    data : bytes-like
    dtype : DType
    shape : sequence of int

    Returns
    -------
    ndarray
        Of ``dtype.numpy``, native byte order, aligned; a read-only view of `data` where that is possible.

    Raises
    ------
    InvalidRequest
        If the data's size is not what datatype and shape say, or its content is no such tensor.
    """
    count = _count(shape)
    if dtype is DType.BYTES:
        return _shaped(_objects(_elements(data, count, shape)), shape)
    given = memoryview(data).nbytes
    if given != count * (dtype.wire_size or 0):
        raise _other_size(count, given, dtype, shape)
    if dtype is DType.BF16:
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return _shaped(bits.view(np.float32), shape)
    if dtype is DType.BOOL:
        octets = np.frombuffer(data, np.uint8)
        # numpy takes a bool to be 0 or 1; another byte would compare equal to neither.
        flags = octets.view(np.bool_) if octets.max(initial=0) <= 1 else octets != 0
        return _shaped(flags, shape)
    array = np.frombuffer(data, dtype.numpy)
    if not _LITTLE:
        array = array.byteswap()
    return _shaped(array if array.flags.aligned else array.copy(), shape)


def from_shared(data: memoryview, dtype: DType, shape: Sequence[int]) -> Array:
    """Array whose bytes are in memory that somebody else may change meanwhile; as :func:`from_wire`, and read-only.

    Numbers are a view where they are aligned; what is checked or converted, is copied first.
    """
    if dtype in (DType.BOOL, DType.BYTES, DType.BF16):
        return from_wire(bytes(data), dtype, shape)
    return from_wire(data.toreadonly(), dtype, shape)


def to_values(array: Array, dtype: DType) -> list[Any]:
    """Elements of an array in row-major order, as JSON has them.

    Raises
    ------
    InvalidRequest
        If an element of ``BYTES`` is not UTF-8, which JSON cannot say.
    """
    if dtype is not DType.BYTES:
        values: list[Any] = array.reshape(-1).tolist()
        return values
    try:
        return [_content(element).decode() for element in array.reshape(-1).tolist()]
    except UnicodeDecodeError:
        raise InvalidRequest("BYTES that are not UTF-8 cannot be written as JSON: ask for binary data") from None


def from_values(values: Iterable[Any], dtype: DType, shape: Sequence[int]) -> Array:
    """Array of values that came as JSON or as typed contents, flat or nested.

    Parameters
    ----------
    values : iterable
        Of bool, int, float, or of str or bytes.
    dtype : DType
    shape : sequence of int

    Raises
    ------
    InvalidRequest
        If there are more or fewer values than the shape says, or one is not of the datatype or out of its range.
    """
    flat = list(values)
    depth = 1
    while list in (kinds := set(map(type, flat))):
        if len(kinds) > 1:
            raise InvalidRequest("data mixes values and lists")
        depth += 1
        if depth > MAX_NESTING:
            raise InvalidRequest(f"JSON nesting depth exceeds maximum allowed limit ({MAX_NESTING})")
        flat = list(chain.from_iterable(flat))
    count = _count(shape)
    if len(flat) != count:
        described = f"{dtype.name} {list(shape)} is {count} values, given {len(flat)}"
        raise InvalidRequest(f"Unable to parse 'data': Shape does not match true shape of 'data' field: {described}")
    if dtype is DType.BYTES:
        return _shaped(_objects([_content(value) for value in flat]), shape)
    if wrong := kinds - _KINDS[dtype.numpy.kind]:
        value = next(value for value in flat if type(value) in wrong)
        raise InvalidRequest(f"{shown(value)} is not a value of {dtype.name}")
    if dtype.numpy.kind in "iu" and flat:
        info = np.iinfo(dtype.value)
        for value in (min(flat), max(flat)):
            if not info.min <= value <= info.max:
                raise InvalidRequest(f"{shown(value)} is out of the range of {dtype.name}")
    try:
        with np.errstate(over="raise"):
            return _shaped(
                np.array(flat, np.float64 if dtype.numpy.kind == "f" else dtype.numpy).astype(dtype.numpy), shape
            )
    except (FloatingPointError, OverflowError):
        raise InvalidRequest(f"a value is out of the range of {dtype.name}") from None


def check_count(given: int, dtype: DType, shape: Sequence[int]) -> None:
    """Check how many values there are of a tensor, in the words for its bytes.

    Raises
    ------
    InvalidRequest
        If there are more or fewer than its shape says.
    """
    count = _count(shape)
    if dtype is DType.BYTES:
        _check_texts(given, count, shape)
    elif given != count:
        raise _other_size(count, given * (dtype.wire_size or 0), dtype, shape)


def byte_size(dtype: DType, shape: Sequence[int]) -> int:
    """Bytes of a tensor on the wire; 0 for ``BYTES``, of which the shape does not say.

    Raises
    ------
    InvalidRequest
        If the shape makes no sense.
    """
    return (dtype.wire_size or 0) * _count(shape)


def same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays have the same dtype (byte order apart), shape and bits, NaN included."""
    if first.shape != second.shape or first.dtype.newbyteorder("=") != second.dtype.newbyteorder("="):
        return False
    if first.dtype == np.object_:
        return bool(first.tolist() == second.tolist())
    native = first.dtype.newbyteorder("=")
    return first.astype(native).tobytes() == second.astype(native).tobytes()


def _count(shape: Sequence[int]) -> int:
    # Before they are multiplied: the product of a million of them would take hours.
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidRequest(f"a shape has at most {MAX_DIMENSIONS} dimensions, given {len(shape)}")
    for size in shape:
        if size < 0:
            raise InvalidRequest(f"shape {shown(list(shape))} has a negative dimension")
        if size >= 2**63:
            raise InvalidRequest(f"shape {shown(list(shape))} has a dimension of more than 63 bits")
    count = prod(shape)
    if count >= 2**63:
        raise InvalidRequest(
            f"shape {shown(list(shape))} causes total element count to exceed maximum size of {2**63 - 1}"
        )
    return count


def _other_size(count: int, given: int, dtype: DType, shape: Sequence[int]) -> Misfit:
    expected = count * (dtype.wire_size or 0)
    return Misfit(f"{{what}} byte size mismatch for {{tensor}}. Expected {expected}, got {given}", dtype, shape)


def _check_texts(given: int, count: int, shape: Sequence[int]) -> None:
    if given > count:
        text = f"unexpected number of string elements {given} for inference {{tensor}}, expecting {count}"
        raise Misfit(text, DType.BYTES, shape)
    if given < count:
        text = f"expected {count} string elements for inference {{tensor}}, got {given}"
        raise Misfit(text, DType.BYTES, shape)


def _shaped(array: Array, shape: Sequence[int]) -> Array:
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError):
        raise InvalidRequest(f"shape {list(shape)} is not one that an array can have") from None


def _bfloat16_bits(array: Array) -> Array:
    if array.dtype.name == "bfloat16":  # of ml_dtypes
        return array.view(np.uint16)
    if array.dtype.newbyteorder("=") != np.float32:
        raise InvalidRequest(f"numpy dtype {array.dtype} is not BF16, which is float32 in memory")
    bits = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    # Rounding must not carry a NaN's payload over into infinity, or clear it.
    quiet_nan = ((bits >> 16) | 0x40).astype(np.uint16)
    result: Array = np.where((bits & 0x7FFFFFFF) > 0x7F800000, quiet_nan, rounded)
    return result


def _content(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"an element of BYTES is no text: {shown(element)}") from None
    raise InvalidRequest(f"an element of BYTES is bytes or str, given {type(element).__name__}")


def _with_lengths(array: Array) -> Iterable[bytes]:
    if array.dtype.kind not in "OSU":
        raise InvalidRequest(f"numpy dtype {array.dtype} is not BYTES")
    for element in array.reshape(-1).tolist():
        content = _content(element)
        yield struct.pack("<I", len(content))
        yield content


def _elements(data: Buffer, count: int, shape: Sequence[int]) -> list[bytes]:
    view = memoryview(data)
    elements: list[bytes] = []
    start = 0
    while left := len(view) - start:
        if left < 4:
            text = f"incomplete string length indicator for inference {{tensor}}, expecting 4 bytes but only {left}"
            raise Misfit(f"{text} bytes available", DType.BYTES, shape)
        if len(elements) == count:
            _check_texts(count + 1, count, shape)
        (size,) = struct.unpack_from("<I", view, start)
        start += 4
        if start + size > len(view):
            text = f"incomplete string data for inference {{tensor}}, expecting string of length {size} but only"
            raise Misfit(f"{text} {left - 4} bytes available", DType.BYTES, shape)
        elements.append(bytes(view[start : start + size]))
        start += size
    _check_texts(len(elements), count, shape)
    return elements


def _objects(elements: list[bytes]) -> Array:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array
