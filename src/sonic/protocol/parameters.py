"""Request parameters that mean something to Sonic, between the wire's units and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.messages import Parameter

TIMEOUT = "timeout"
"""Microseconds that the request may take; 0 is no limit."""

PRIORITY = "priority"
"""1 goes first; 0, and what the model does not have, is the model's default."""

SEQUENCE_ID, SEQUENCE_START, SEQUENCE_END = "sequence_id", "sequence_start", "sequence_end"
"""Which sequence a request belongs to, and whether it is the first or the last of it."""

MEANT = frozenset({TIMEOUT, PRIORITY, SEQUENCE_ID, SEQUENCE_START, SEQUENCE_END})
"""Parameters of the protocol: all others are between the client and the model."""

RESERVED = "triton_"
"""Names that begin so are not for clients to give, but for one by which they ask how a stream is to end."""

_EMPTY_FINAL = "triton_enable_empty_final_response"
_DIGITS = len(str(2**64))


def put_timeout_s(parameters: Mapping[str, Parameter], timeout_s: float | None) -> dict[str, Parameter]:
    """Add a timeout in seconds to the parameters that go to the wire; None adds none."""
    if timeout_s is None:
        return dict(parameters)
    return {**parameters, TIMEOUT: timeout_us(timeout_s)}


def timeout_us(timeout_s: float) -> int:
    """Return a timeout as it goes to the wire, in microseconds: 1 at least, since 0 would be none."""
    return max(1, round(timeout_s * 1e6))


def pop_timeout_s(parameters: dict[str, Parameter]) -> float | None:
    """Take the timeout out of parameters that came over the wire.

    Returns
    -------
    float or None
        Seconds; None if there is no limit.

    Raises
    ------
    InvalidRequest
        If it is not a number of microseconds.
    """
    given = parameters.pop(TIMEOUT, 0)
    timeout_us = _whole(given)
    if timeout_us is None:
        raise InvalidRequest(f"parameter timeout is a whole number of microseconds, given {shown(given)}")
    return timeout_us / 1e6 if timeout_us else None


def drop_reserved(parameters: dict[str, Parameter]) -> None:
    """Take out of parameters that came over the wire what is said to the server alone.

    Raises
    ------
    InvalidRequest
        If another one has a reserved name.
    """
    parameters.pop(_EMPTY_FINAL, None)  # every response is its request's last one, and says so
    for name in parameters:
        if name.startswith(RESERVED):
            raise InvalidRequest(f"parameter {shown(name)}: keys starting with {RESERVED!r} are reserved")


def priority_of(parameters: Mapping[str, Parameter]) -> int:
    """Priority that a request asks for; 0: the model's default.

    Raises
    ------
    InvalidRequest
        If it is not a whole number.
    """
    given = parameters.get(PRIORITY, 0)
    priority = _whole(given)
    if priority is None:
        raise InvalidRequest(f"parameter priority is a whole number of 0 or more, given {shown(given)}")
    return priority


def _whole(value: Parameter) -> int | None:
    if isinstance(value, str):  # as some clients send it
        value = int(value) if value.isascii() and value.isdecimal() and len(value) <= _DIGITS else -1
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64 else None
