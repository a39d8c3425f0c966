"""The functions of a repository, and where they are found: given, in a file, or in an installed package."""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, one_line, shown
from sonic.server.backends.python.importing import import_file
from sonic.server.backends.services import service_of, services_in
from sonic.server.failures import is_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from sonic.server.backends.python.importing import ModelPackage
    from sonic.server.backends.services import Service


class Functions:
    """Services, and the modules of their files.

    Attributes
    ----------
    services : dict of str to Service
    """

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self._packages: list[ModelPackage] = []

    def take(self, sources: Sequence[str | os.PathLike[str] | Callable[..., Any]]) -> tuple[Path, ...]:
        """Take those that are functions or name them, and return the folders among them, each once.

        Raises
        ------
        ConfigError
            If one is no service, cannot be imported, or has the name of another.
        """
        folders: list[Path] = []
        try:
            for source in sources:
                if isinstance(source, str | os.PathLike):
                    found = find(os.fspath(source))
                    if found is None:
                        folders.append(Path(source))
                        continue
                elif isinstance(source, list | tuple):
                    raise ConfigError(f"expected folders and functions one by one, given a list: {shown(source)}")
                else:
                    found = Found((service_of(source),))
                self._add(found)
        except BaseException:
            self.close()
            raise
        return tuple(dict.fromkeys(folders))

    def _add(self, found: Found) -> None:
        if found.package is not None:
            self._packages.append(found.package)
        for service in found.services:
            if self.services.setdefault(service.name, service) is not service:
                raise ConfigError(f"two functions are served as {service.name!r}: give one another name")

    def close(self) -> None:
        """Forget the modules of their files."""
        for package in self._packages:
            package.close()
        self._packages.clear()


@dataclass(frozen=True, slots=True)
class Found:
    """Services that a text names.

    Parameters
    ----------
    services : tuple of Service
    package : ModelPackage or None
        The modules of their file, to be closed when none of them is called any more.
    """

    services: tuple[Service, ...]
    package: ModelPackage | None = None


def find(text: str) -> Found | None:
    """Import what ``path/to/file.py``, ``path/to/file.py:function`` or ``package.module:function`` names.

    A file sees the files beside it, and its modules are its own: no other service or model sees them.

    Returns
    -------
    Found or None
        None: the text is none of the three.

    Raises
    ------
    ConfigError
        If there is no such file, module or function, it cannot be imported, or is no service.
    """
    if Path(text).is_dir():
        return None
    where, mark, attribute = text.rpartition(":") if ":" in text else (text, "", "")
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ConfigError(f"there is no file {path}")
        package, module = import_file(path)
        try:
            return Found(_chosen(module, where, attribute), package)
        except BaseException:
            package.close()
            raise
    if not mark or not re.fullmatch(r"[\w.]+", where):
        return None
    try:
        module = importlib.import_module(where)
    except BaseException as error:  # anybody's code
        if is_interrupt(error):
            raise
        raise ConfigError(f"cannot import {where}: {one_line(error)}") from error
    return Found(_chosen(module, where, attribute))


def _chosen(module: ModuleType, where: str, attribute: str) -> tuple[Service, ...]:
    there = services_in(module)
    if not attribute:
        if not there:
            raise ConfigError(f"{where} has no function with @sonic.service")
        return tuple(there)
    if not hasattr(module, attribute):
        names = ", ".join(each.name for each in there) or "none"
        raise ConfigError(f"{where} has no {attribute!r}: its services are {names}")
    return (service_of(getattr(module, attribute)),)
