"""Simulated events by name: what there is, its options, and a file of them.

A generator is an entry point of the group ``sonic.generators``: a function ``generate(file, events, seed,
progress=None, *, option=value, ...)`` that writes a ROOT file and returns how many events are in it. Its options are
its keyword arguments, int, float, str or bool.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.framework.graph import similar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUP = "sonic.generators"
_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """What can be set of a generator.

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


def known() -> tuple[str, ...]:
    """Names of the installed generators."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def find(name: str) -> Callable[..., int]:
    """Return the generator of that name.

    Raises
    ------
    ConfigError
        If there is none, lists those there are; or if a package that it needs is missing.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                found: Callable[..., int] = point.load()
            except ImportError as error:
                raise ConfigError(f"generator {name} needs {error.name or error}") from error
            return found
    raise ConfigError(f"no generator {name!r}{similar(name, known())}; installed: {', '.join(known()) or 'none'}")


def about(generator: Callable[..., int]) -> str:
    """Return the first line of a generator's documentation."""
    return (inspect.getdoc(generator) or "").partition("\n")[0]


def options(generator: Callable[..., int]) -> tuple[Option, ...]:
    """Return what can be set of a generator.

    Raises
    ------
    ConfigError
        If a keyword argument of it has no default or is of no kind that a person can write.
    """
    kinds = {kind.__name__: kind for kind in _TYPES}
    found = []
    for parameter in inspect.signature(generator).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        annotation = parameter.annotation  # a text, if the module postpones its annotations
        kind = kinds.get(getattr(annotation, "__name__", annotation))
        if kind is None or parameter.default is parameter.empty:
            raise ConfigError(
                f"{generator.__module__}:{generator.__name__}: {parameter.name} must be annotated int, float, str or "
                "bool, and have a default"
            )
        found.append(Option(parameter.name, kind, parameter.default))
    return tuple(found)


def settings(generator: Callable[..., int], given: Sequence[str]) -> dict[str, int | float | str | bool]:
    """Make a generator's keyword arguments of ``key=value``.

    Raises
    ------
    ConfigError
        If one is not of that form, is unknown or given twice, or its value is not of the option's kind.
    """
    there = {option.name: option for option in options(generator)}
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
