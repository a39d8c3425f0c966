"""How a target says that something is wrong, and what it may end in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class FaultError(AssertionError):
    """Something that must not be."""


@contextmanager
def ends_in(*kinds: type[Exception]) -> Iterator[None]:
    """Let pass errors of these kinds that can be sent and shown: one line of text."""
    try:
        yield
    except kinds as error:
        text = str(error)
        text.encode()
        if not text or "\n" in text:
            raise FaultError(f"an error of the text {text!r}") from error


def expect(holds: object, text: str) -> None:
    """Insist on something."""
    if not holds:
        raise FaultError(text)
