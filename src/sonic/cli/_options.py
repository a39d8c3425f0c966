"""Options of one command taken over by another."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = TypeVar("Command", bound=Callable[..., None])


def with_options_of(other: Callable[..., None], *, without: str) -> Callable[[Command], Command]:
    """Give a command the parameters of another but for one, beside its own; they come as its ``**options``."""
    theirs = [each for each in inspect.signature(other, eval_str=True).parameters.values() if each.name != without]

    def give(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own, *theirs)]
        told: Any = command
        told.__signature__ = signature.replace(parameters=parameters)
        told.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        return command

    return give
