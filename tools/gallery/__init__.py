"""The pictures of the documentation, drawn by the software: `make gallery`.

A file a room of :mod:`sonic.workloads`, found by listing the folder, with ``PICTURES``: by the name of the file in
docs/images, a function that simulates a small sample from a seed, runs what is shown, and returns the figure.
"""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MAX_BYTES = 150_000
"""Of a picture: pages should load at once."""
_DPI = 80


def rooms() -> tuple[str, ...]:
    """Names of the rooms that have pictures."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))


def pictures(room: str) -> dict[str, Callable[[], Figure]]:
    """Return what a room has; ImportError if it needs a package that is not there."""
    found: dict[str, Callable[[], Figure]] = import_module(f"gallery.{room}").PICTURES
    return found


def save(figure: Figure, path: Path) -> int:
    """Write a picture, which a run with the same versions makes the same to the byte; return its bytes."""
    from PIL import Image  # matplotlib brings it

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=_DPI, format="png")
    # 256 colours are enough for lines and labels, and take a third of the room.
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.stat().st_size
