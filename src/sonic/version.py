"""The version, apart from everything else, so that every room can say it."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0.dev0"


def is_compiled(package: Path | None = None) -> bool:
    """Whether what runs for every request is compiled; `package` is this one's folder unless given."""
    folder = package or Path(__file__).parent
    return any(folder.glob("server/scheduling/*.so"))
