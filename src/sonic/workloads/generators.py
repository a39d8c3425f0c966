"""Simulated events by name: what there is, its options, and a file of them.

A generator is an entry point of the group ``sonic.generators``: a function ``generate(file, events, seed,
progress=None, *, option=value, ...)`` that writes a ROOT file and returns how many events are in it; its options are
as :mod:`sonic.framework.options` has them.
"""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.framework.graph import similar

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "sonic.generators"


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
