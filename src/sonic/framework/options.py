"""Options of workflows and of generators: a function's keyword-only arguments, written as ``key=value``.

They are int, float, str or bool, and have defaults.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.framework.graph import similar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """What can be set of a function.

    Parameters
    ----------
    name : str
    kind : type
        int, float, str or bool.
    default : object
    """

    name: str
    kind: type
    default: Any

    def convert(self, text: str) -> int | float | str | bool:
        """Make a value of what a person wrote.

        Raises
        ------
        ConfigError
            If it is none of the option's kind.
        """
        try:
            value: int | float | str | bool = _TRUTHS[text.lower()] if self.kind is bool else self.kind(text)
        except (ValueError, KeyError):
            raise ConfigError(f"option {self.name}: expected {_TYPES[self.kind]}, got {text!r}") from None
        return value


def options(function: Callable[..., Any]) -> tuple[Option, ...]:
    """Return what can be set of a function.

    Raises
    ------
    ConfigError
        If a keyword argument of it has no default or is of no kind that a person can write.
    """
    kinds = {kind.__name__: kind for kind in _TYPES}
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        annotation = parameter.annotation  # a text, if the module postpones its annotations
        kind = kinds.get(getattr(annotation, "__name__", annotation))
        if kind is None or parameter.default is parameter.empty:
            raise ConfigError(
                f"{function.__module__}:{function.__name__}: {parameter.name} must be annotated int, float, str or "
                "bool, and have a default"
            )
        found.append(Option(parameter.name, kind, parameter.default))
    return tuple(found)


def settings(function: Callable[..., Any], given: Sequence[str]) -> dict[str, int | float | str | bool]:
    """Make a function's keyword arguments of ``key=value``.

    Raises
    ------
    ConfigError
        If one is not of that form, is unknown or given twice, or its value is not of the option's kind.
    """
    there = {option.name: option for option in options(function)}
    chosen: dict[str, int | float | str | bool] = {}
    for text in given:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign:
            raise ConfigError(f"expected key=value, got {text!r}")
        if name not in there:
            listed = ", ".join(f"{option.name}={option.default}" for option in there.values())
            raise ConfigError(f"no option {name!r}{similar(name, there)}: there are {listed or 'none'}")
        if name in chosen:
            raise ConfigError(f"option {name} is given twice")
        chosen[name] = there[name].convert(value.strip())
    return chosen
