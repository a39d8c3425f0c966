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


def check_parameters(parameters: dict[str, Parameter], *, signed: bool = False) -> None:
    """Check parameters that came over the wire, and take out of them what is said to the server alone.

    Parameters
    ----------
    parameters : dict of str to bool, int, float or str
        Changed in place.
    signed : bool
        Whether a `sequence_id` below 0 is one whose 64 bits the wire gave a sign.

    Raises
    ------
    InvalidRequest
        If one has a reserved name, or is not of the type that its name means.
    """
    if not parameters:
        return
    _check_flag(_EMPTY_FINAL, parameters.pop(_EMPTY_FINAL, True))  # every response is its request's last, and says so
    for name, value in parameters.items():
        if name.startswith(RESERVED):
            raise InvalidRequest(f"parameter {shown(name)}: keys starting with {RESERVED!r} are reserved")
        if name == SEQUENCE_ID:
            parameters[name] = _sequence_id(value, signed)
        elif name in (SEQUENCE_START, SEQUENCE_END):
            _check_flag(name, value)


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


def _sequence_id(value: Parameter, signed: bool) -> Parameter:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value + 2**64 if signed and value < 0 else value
        if 0 <= number < 2**64:
            return number
    elif isinstance(value, str):
        return value
    raise InvalidRequest(f"parameter {SEQUENCE_ID} is a whole number of 64 bits or a text, given {shown(value)}")


def _check_flag(name: str, value: Parameter) -> None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name} is true or false, given {shown(value)}")


def _whole(value: Parameter) -> int | None:
    if isinstance(value, str):  # as some clients send it
        value = int(value) if value.isascii() and value.isdecimal() and len(value) <= _DIGITS else -1
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64 else None
