"""The folders of a repository: which models are there, and which versions of them are to be served. Only read."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.modelfolder import CONFIG_NAME, version_folders

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig

log = logging.getLogger("sonic.server")


def model_folders(folder: Path) -> list[Path]:
    """Return the folders of the models in a repository.

    Raises
    ------
    ConfigError
        If it cannot be read, or is itself a model's.
    """
    try:
        if (folder / CONFIG_NAME).is_file() or (folder / "1").is_dir():
            raise ConfigError(f"{folder} is one model's folder: give the folder above it, which holds the models")
        return [path for path in sorted(folder.iterdir()) if path.is_dir() and _holds_model(path)]
    except FileNotFoundError:
        raise ConfigError(f"no model repository {folder}") from None
    except OSError as error:
        raise ConfigError(f"cannot read model repository {folder}: {error.strerror}") from error


def _holds_model(path: Path) -> bool:
    if path.name.startswith(".") or not _is_name(path.name):
        return False
    try:
        return (path / CONFIG_NAME).is_file() or bool(version_folders(path))
    except PermissionError:  # which is said when it is loaded; the one below is every file system's own
        return path.name != "lost+found"


@cache
def _is_name(name: str) -> bool:
    """Whether a model can be called so; that it cannot is said once."""
    try:
        name.encode()
    except UnicodeEncodeError:
        log.warning("folder %s is passed over: a model's name is UTF-8", ascii(name))
        return False
    return True


def find_models(repositories: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the models in repositories, and the folders of each: several if it is in more than one of them.

    Raises
    ------
    ConfigError
        As :func:`model_folders` does.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for repository in repositories:
        for path in model_folders(repository):
            found[path.name] = (*found.get(path.name, ()), path)
    return found


def select(folder: Path, config: ModelConfig) -> dict[str, Path]:
    """Return the versions that a model's policy chooses, the highest first, and their folders.

    Raises
    ------
    ConfigError
        If there is none, or the folder cannot be read.
    """
    try:
        there = version_folders(folder)
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror}") from error
    if not there:
        raise ConfigError(f"model {folder.name!r} has no version: expected a folder {folder / '1'}")
    numbers = sorted(there, reverse=True)
    policy = config.version_policy
    if policy.WhichOneof("policy_choice") == "specific":
        wanted = set(policy.specific.versions)
        for version in sorted(wanted - set(numbers)):
            log.error("model %r has no version %d, which its version_policy names", folder.name, version)
        numbers = [version for version in numbers if version in wanted]
        if not numbers:
            raise ConfigError(f"model {folder.name!r} has none of the versions {sorted(wanted)} of its version_policy")
    elif policy.WhichOneof("policy_choice") != "all":
        numbers = numbers[: max(1, policy.latest.num_versions)]
    return {str(version): there[version] for version in numbers}
