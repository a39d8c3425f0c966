"""Groups of commands, with whole sentences in their lists."""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperGroup


class Verbs(TyperGroup):
    """A group that says of each command all that its first paragraph does, where click would cut it to a line."""

    def format_commands(self, *args: Any, **options: Any) -> None:
        for command in self.commands.values():
            command.short_help = command.short_help or _first_paragraph(command.help or "")
        super().format_commands(*args, **options)


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
