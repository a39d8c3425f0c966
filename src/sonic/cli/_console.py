"""Where verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def open_console(**options: Any) -> Console:
    """Return a console that shows names as they are: rich makes a picture of the end of ``entries 0:100:``.

    Parameters
    ----------
    **options
        Of :class:`rich.console.Console`.
    """
    from rich.console import Console

    return Console(emoji=False, **options)
