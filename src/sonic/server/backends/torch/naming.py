"""Which tensor of a configuration is which argument of ``forward``, and which of its results: Triton's conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def arguments_of(names: Sequence[str], arguments: Sequence[str], required: Collection[str]) -> Mapping[str, str]:
    """Say which argument each input is for.

    All of them are named as arguments, or all end in ``__0``, ``__1`` ... and count the arguments, or else their order
    in the configuration is that of the arguments.

    Parameters
    ----------
    names : sequence of str
        Of the inputs, in the configuration's order.
    arguments : sequence of str
        Of ``forward``.
    required : collection of str
        Arguments without a default.

    Returns
    -------
    mapping of str to str
        The input of an argument, in the order of the arguments; those without one are left out.

    Raises
    ------
    ConfigError
        If the names count past the arguments, or leave out one that is required.
    """
    known = ", ".join(arguments) or "none"
    if all(name in arguments for name in names):
        found = {name: name for name in names}
    elif all(_index(name) is not None for name in names):
        found = {}
        for name in names:
            position = _index(name) or 0
            if position >= len(arguments):
                raise ConfigError(f"input {name!r} counts past the arguments of forward, which are {known}")
            if arguments[position] in found:
                raise ConfigError(
                    f"inputs {found[arguments[position]]!r} and {name!r} are the same argument of forward"
                )
            found[arguments[position]] = name
    elif len(names) > len(arguments):
        raise ConfigError(f"there are {len(names)} inputs, and forward has the arguments {known}")
    else:
        found = dict(zip(arguments, names, strict=False))
    missing = [argument for argument in arguments if argument in required and argument not in found]
    if missing:
        raise ConfigError(f"no input is for argument {missing[0]!r} of forward, which has {known}")
    return {argument: found[argument] for argument in arguments if argument in found}


def positions_of(names: Sequence[str]) -> Mapping[str, int]:
    """Say which of several results each output is: the number it ends in if all do, or else its place in the order.

    Raises
    ------
    ConfigError
        If two have the same number.
    """
    numbers = [_index(name) for name in names]
    if any(number is None for number in numbers):
        return {name: position for position, name in enumerate(names)}
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"outputs {', '.join(names)}: two of them have the same number")
    return {name: number for name, number in zip(names, numbers, strict=True) if number is not None}


def _index(name: str) -> int | None:
    head, separator, number = name.rpartition("__")
    return int(number) if separator and head and number.isascii() and number.isdecimal() else None
