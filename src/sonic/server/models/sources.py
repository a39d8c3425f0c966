"""Which models a repository has, and where: in folders, and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.server.models.folders import find_models
from sonic.server.models.functions import Functions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from sonic.server.backends.services import Service

    Places = Mapping[str, tuple[Path, ...]]
    """Folders of models by their names: several of one that is in more than one repository."""


class Sources:
    """Folders of models, and functions.

    Parameters
    ----------
    given : sequence of path, str or function
        As a repository is given them.
    only : sequence of str
        Names of the models to serve; empty: all.

    Raises
    ------
    ConfigError
        If none is given, or a function is no service or has the name of another.
    """

    def __init__(self, given: Sequence[str | os.PathLike[str] | Callable[..., Any]], only: Sequence[str]) -> None:
        if not given:
            raise ConfigError("no model repository is given")
        self._functions = Functions()
        self._folders = self._functions.take(given)
        self._only = tuple(only)

    def __str__(self) -> str:
        functions = ["the functions given"] if self._functions.services else []
        return " or ".join([*map(str, self._folders), *functions])

    def find(self) -> Places:
        """Look where the models are, but for the functions.

        Raises
        ------
        ConfigError
            If a folder cannot be read, or a model in it has the name of a function.
        """
        found = find_models(self._folders)
        for name in sorted(found.keys() & self._functions.services.keys()):
            raise ConfigError(f"model {name!r} is a function and in a repository: {found[name][0]}")
        return found

    def names(self, found: Collection[str]) -> list[str]:
        """Return the names of those models to serve that are there, functions included, where those are found."""
        there = {*found, *self._functions.services}
        return sorted(there.intersection(self._only) if self._only else there)

    def check(self) -> None:
        """Check that every model to serve is there: at the start, for it may go later.

        Raises
        ------
        ConfigError
            If one is not, or as :meth:`find` does.
        """
        there = sorted({*self.find(), *self._functions.services})
        for name in self._only:
            if name not in there:
                raise ConfigError(f"no model {name!r} in {self}: there is {', '.join(there) or 'none'}")

    def service(self, name: str) -> Service | None:
        """Return the function of that name."""
        return self._functions.services.get(name)

    def close(self) -> None:
        """Forget the functions' modules."""
        self._functions.close()
