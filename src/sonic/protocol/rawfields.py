"""As much of protobuf's encoding as it takes to write and read raw tensors without copying them.

Specification: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.protocol.tensors import Buffer

MAX_BYTES = 2**31 - 1
"""Largest message of protobuf."""

MAX_FIELDS = 1 << 16
"""Most fields of a message that is read here, each of which costs far more than the two bytes it may be sent in."""


def join_raw(header: bytes, raw: Sequence[Buffer], number: int) -> bytes:
    """Append a repeated bytes field to a serialised message: as :func:`raw_parts`, each copied once."""
    return b"".join(raw_parts(header, raw, number))


def raw_parts(header: bytes, raw: Sequence[Buffer], number: int) -> list[Buffer]:
    """Append a repeated bytes field to a serialised message.

    Parameters
    ----------
    header : bytes
        The message without that field.
    raw : sequence of bytes-like
        Not copied.
    number : int
        The field's number, below 16.

    Returns
    -------
    list of bytes-like
        The message, in parts.

    Raises
    ------
    InvalidRequest
        If the message would exceed what protobuf can hold.
    """
    parts: list[Buffer] = [header]
    total = len(header)
    for content in raw:
        size = memoryview(content).nbytes
        prefix = bytes([number << 3 | 2]) + varint(size)
        parts += (prefix, content)
        total += len(prefix) + size
    if total > MAX_BYTES:
        raise InvalidRequest(f"a message holds at most {MAX_BYTES} bytes, given {total}: send fewer rows at a time")
    return parts


def split_raw(data: Buffer, number: int) -> tuple[bytes, list[memoryview]]:
    """Part a repeated bytes field of a serialised message from the rest of it.

    Returns
    -------
    header : bytes
        The message without that field.
    raw : list of memoryview
        The field's values, as views of `data`.

    Raises
    ------
    InvalidRequest
        If the bytes are no message of protobuf, or one of too many fields.
    """
    view = memoryview(data)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    kept = 0
    for field, start, end in spans(view, number):
        raw.append(view[start:end])
        rest.append(view[kept:field])
        kept = end
    rest.append(view[kept:])
    return b"".join(rest), raw


def spans(data: Buffer, number: int) -> list[tuple[int, int, int]]:
    """Find a repeated bytes field in a serialised message.

    Returns
    -------
    list of tuple of int
        Of each value: where its field begins, where its content begins, and where both end.

    Raises
    ------
    InvalidRequest
        If the bytes are no message of protobuf, or one of too many fields.
    """
    view = memoryview(data)
    found: list[tuple[int, int, int]] = []
    position = fields = 0
    while position < len(view):
        fields += 1
        if fields > MAX_FIELDS:
            raise InvalidRequest(f"a message has at most {MAX_FIELDS} fields, and this one has more")
        start = position
        tag, position = read_varint(view, position)
        kind = tag & 7
        if kind == 2:
            size, position = read_varint(view, position)
            content, position = position, position + size
        elif kind == 0:
            _, position = read_varint(view, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise InvalidRequest(f"byte {start} of the message begins no field of protobuf")
        if position > len(view):
            raise InvalidRequest(f"the message ends within the field that begins at byte {start}")
        if tag == number << 3 | 2:
            found.append((start, content, position))
    return found


def varint(value: int) -> bytes:
    """Write a whole number, 0 or more, as protobuf does."""
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def read_varint(view: memoryview, position: int) -> tuple[int, int]:
    """Read such a number; return it and the place behind it.

    Raises
    ------
    InvalidRequest
        If there is none.
    """
    value = shift = 0
    while position < len(view) and shift < 70:
        octet = view[position]
        value |= (octet & 0x7F) << shift
        position += 1
        shift += 7
        if octet < 0x80:
            return value, position
    raise InvalidRequest(f"byte {position} of the message is not the number it should be")
