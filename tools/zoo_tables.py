"""`make tables`: write the tables of networks into docs/howto/zoo.md again."""

from __future__ import annotations

import re
from pathlib import Path

from sonic.workloads.networks.table import markdown, trained

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto" / "zoo.md"


def replaced(page: str, table: str) -> str:
    """Put a table in the place of the one with the same head.

    Raises
    ------
    ValueError
        If there is none.
    """
    head = table.partition("\n")[0]
    new, count = re.subn(rf"{re.escape(head)}\n(?:\|.*\n)+", lambda _: table, page)
    if count != 1:
        raise ValueError(f"{PAGE.name}: expected one table that begins {head}, found {count}")
    return new


if __name__ == "__main__":
    text = PAGE.read_text()
    for drawn in (markdown(), trained()):
        text = replaced(text, drawn)
    PAGE.write_text(text)
