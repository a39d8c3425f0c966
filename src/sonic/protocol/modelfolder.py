"""A model's folder, in Triton's layout: its configuration, its versions and their files. Only read.

::

    name/
      config.pbtxt        optional
      1/                  a version: any whole number
        model.onnx
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig

CONFIG_NAME = "config.pbtxt"


def number(version: str) -> int:
    """Return a version as a number; -1 if it is none, or too long to be one."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 else -1


def version_folders(folder: Path) -> dict[int, Path]:
    """Return the versions of a model and their folders."""
    return {
        number(path.name): path
        for path in sorted(folder.iterdir())
        if number(path.name) >= 0 and str(number(path.name)) == path.name and path.is_dir()
    }


def read_text(folder: Path) -> str:
    """Return a model's config.pbtxt; empty if there is none.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    path = folder / CONFIG_NAME
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def read_config(folder: Path) -> ModelConfig:
    """Return a model's configuration as it is written; empty if there is none.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    return parse(read_text(folder), str(folder / CONFIG_NAME))


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a model's versions, by their paths relative to its folder.

    Hidden ones, and what Python keeps of a ``model.py``, are none of them.
    """
    found = {}
    for _, version in sorted(version_folders(folder).items()):
        for path in sorted(version.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
                found["/".join(parts)] = path
    return found
