"""Channels of an input: fields of a record, and what is done to their values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.client.conversion.ragged import Missing, cast, numbers, peel
from sonic.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Collection

    from awkward.contents import Content
    from numpy.typing import DTypeLike

    from sonic.client.conversion.ragged import Numbers

Transform = Callable[[Any], Any]
"""Numbers to as many numbers, e.g. :func:`numpy.log`, :class:`Log`, a function of one's own."""

Channel = str | tuple[str | Transform, ...]
"""A field, or a field and what is done to it, in order: ``("pt", Log(), Scale(0.5))``."""


@dataclass(frozen=True, slots=True)
class Log:
    """Natural logarithm; of `floor` for what is below it."""

    floor: float = 1e-6

    def __call__(self, values: Numbers) -> Numbers:
        """Apply it."""
        return np.log(np.maximum(values, self.floor))


@dataclass(frozen=True, slots=True)
class Clip:
    """At least `low` and at most `high`."""

    low: float
    high: float

    def __call__(self, values: Numbers) -> Numbers:
        """Apply it."""
        return np.clip(values, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Scale:
    """``(value - offset) * factor``."""

    factor: float
    offset: float = 0.0

    def __call__(self, values: Numbers) -> Numbers:
        """Apply it."""
        return (values - self.offset) * self.factor


def checked(channels: tuple[Channel, ...], dtype: DTypeLike, fill: float) -> tuple[tuple[Any, ...], ...]:
    """Return channels as fields and their transforms; the field is None where none is given.

    Raises
    ------
    ConfigError
        If one is no channel, or the dtype cannot hold what is to fill them.
    """
    try:
        cast(np.asarray([fill]), dtype)
    except InvalidRequest as error:
        raise ConfigError(f"fill: {error}") from None
    made = []
    for channel in channels or ((None,),):
        field_, *steps = (channel,) if isinstance(channel, str) else channel
        if not (field_ is None or isinstance(field_, str)) or not all(callable(step) for step in steps):
            raise ConfigError(f"a channel is a field, or a field and callables; given {channel!r}")
        made.append((field_, *steps))
    return tuple(made)


def named(channels: tuple[tuple[Any, ...], ...]) -> tuple[str, ...]:
    """Return the fields of channels."""
    return tuple(channel[0] for channel in channels if channel[0] is not None)


def only(content: Content, names: Collection[str]) -> Content:
    """Return records with fewer fields, so that the others are neither read nor copied; all if some are not there."""
    return content[sorted(names)] if names and set(names) < set(content.fields) else content


def field(content: Content, name: str) -> Content:
    """Return a field of a record.

    Raises
    ------
    InvalidRequest
        If there is none of that name; lists those there are.
    """
    if content.is_unknown:
        return content
    if name not in content.fields:
        raise InvalidRequest(f"expected a field {name!r}, given {', '.join(content.fields) or 'no fields'}")
    return content[name]


def column(content: Content, channel: tuple[Any, ...], dtype: DTypeLike, fill: float) -> Numbers:
    """One number an entry, of the dtype; transforms see no value that is missing."""
    name, *steps = channel
    levels, found = peel(content if name is None else field(content, name), 0)
    try:
        values = numbers(found)
        for step in steps:
            values = step(values)
            if np.shape(values) != (found.length,):
                raise InvalidRequest(f"{step!r} gave shape {list(np.shape(values))}, expected {[found.length]}")
        values = cast(np.asarray(values), dtype)
    except InvalidRequest as error:
        raise InvalidRequest(f"field {name!r}: {error}" if name else str(error)) from None
    for level in reversed(levels):
        assert isinstance(level, Missing)  # noqa: S101 - no lists were peeled
        filled = np.full(len(level.valid), fill, dtype)  # after the cast: an integer must not pass through a float
        filled[level.valid] = values
        values = filled
    return values
