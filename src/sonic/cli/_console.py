"""Where verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return a console that shows names as they are: rich makes a picture of the end of ``entries 0:100:``."""
    from rich.console import Console

    return Console(stderr=stderr, emoji=False)
