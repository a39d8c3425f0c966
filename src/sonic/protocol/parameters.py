"""Request parameters that mean something to Sonic, between the wire's units and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.messages import Parameter

TIMEOUT = "timeout"
"""Microseconds that the request may take; 0 is no limit."""

PRIORITY = "priority"
"""1 goes first; 0, and what the model does not have, is the model's default."""


def put_timeout_s(parameters: Mapping[str, Parameter], timeout_s: float | None) -> dict[str, Parameter]:
    """Add a timeout in seconds to the parameters that go to the wire; None adds none."""
    if timeout_s is None:
        return dict(parameters)
    return {**parameters, TIMEOUT: max(1, round(timeout_s * 1e6))}


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
    timeout = parameters.pop(TIMEOUT, 0)
    if isinstance(timeout, str):  # as some clients send it
        timeout = int(timeout) if timeout.isdecimal() else -1
    if isinstance(timeout, bool | float) or timeout < 0:
        raise InvalidRequest(f"parameter timeout is a whole number of microseconds, given {timeout!r}")
    return timeout / 1e6 if timeout else None


def priority_of(parameters: Mapping[str, Parameter]) -> int:
    """Priority that a request asks for; 0: the model's default.

    Raises
    ------
    InvalidRequest
        If it is not a whole number.
    """
    priority = parameters.get(PRIORITY, 0)
    if isinstance(priority, str):
        priority = int(priority) if priority.isdecimal() else -1
    if isinstance(priority, bool | float) or priority < 0:
        raise InvalidRequest(f"parameter priority is a whole number of 0 or more, given {priority!r}")
    return priority
