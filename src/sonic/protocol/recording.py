"""Requests in a file, with the time at which each was sent: to be sent again.

The file is a sequence of ModelInferRequest messages, each behind its length, as protobuf's libraries write and read
delimited messages in every language. The time is a parameter of the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sonic.errors import DataError, InvalidRequest, Unsupported
from sonic.protocol.grpc_codec import request_from_wire, request_to_wire
from sonic.protocol.rawfields import read_varint, varint

if TYPE_CHECKING:
    from sonic.protocol.messages import InferRequest

SENT = "sonic_sent_ns"
"""Parameter of a recorded request: when it was sent, in nanoseconds of Unix time."""


def encode(request: InferRequest, sent_ns: int) -> bytes:
    """Write a request as one part of a recording.

    Raises
    ------
    InvalidRequest
        If an array has no datatype of the protocol, or the whole exceeds what protobuf can hold.
    """
    message = request_to_wire(replace(request, parameters={**request.parameters, SENT: sent_ns}))
    return varint(len(message)) + message


def decode(message: bytes | memoryview) -> tuple[InferRequest, int]:
    """Read one message of a recording.

    Returns
    -------
    request : InferRequest
        Its arrays are views of the message where they can be.
    sent_ns : int
        When it was sent; 0 if the message does not say.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        request, _ = request_from_wire(message)
    except (InvalidRequest, Unsupported) as error:  # the latter of tensors in shared memory, of which nothing is left
        raise DataError(f"no recorded request: {error}") from error
    parameters = dict(request.parameters)
    sent_ns = parameters.pop(SENT, 0)
    return replace(request, parameters=parameters), sent_ns if isinstance(sent_ns, int) else 0


def spans(data: bytes | memoryview) -> tuple[list[tuple[int, int]], int]:
    """Find the messages of a recording.

    Returns
    -------
    list of (int, int)
        Where each begins and ends.
    int
        Bytes behind the last whole one: its writer was killed, or the file is no recording.
    """
    view = memoryview(data)
    found: list[tuple[int, int]] = []
    position = 0
    while position < len(view):
        try:
            size, begin = read_varint(view, position)
        except InvalidRequest:
            break
        if begin + size > len(view):
            break
        found.append((begin, begin + size))
        position = begin + size
    return found, len(view) - position
