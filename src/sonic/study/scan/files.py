"""Specifications by their name: files, and those that come with Sonic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.study.scan.spec import parse

if TYPE_CHECKING:
    from sonic.study.scan.spec import Spec

READY = Path(__file__).parent / "specs"
"""Folder of the specifications that come with Sonic."""


def ready() -> list[str]:
    """Return the names of those."""
    return sorted(path.stem for path in READY.glob("*.toml"))


def read(spec: str) -> tuple[Spec, Path]:
    """Read a specification.

    Parameters
    ----------
    spec : str
        A file, or the name of a scan that comes with Sonic.

    Returns
    -------
    Spec
    Path
        The file it is from.

    Raises
    ------
    ConfigError
        If there is none, or it is wrong.
    """
    path = Path(spec)
    if not path.suffix and not path.exists() and spec in ready():
        path = READY / f"{spec}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"cannot read {spec}: {reason}; a file is expected, or one of the scans {', '.join(ready())}"
        ) from error
    return parse(text, str(spec)), path
