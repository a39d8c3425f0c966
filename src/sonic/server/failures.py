"""Errors that outlive the frames they were raised in."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sonic.protocol.messages import InferResponse

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Take the tracebacks from an error and from those that led to it.

    A traceback holds the frames it passed and every frame above them, and with them the arrays of the request and the
    future that the error is put into: a circle that only the garbage collector would undo, many megabytes later.
    """
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            todo += [each.__cause__, each.__context__]
    return error


def failed(error: BaseException) -> Future[InferResponse]:
    """Return a future that has ended in an error."""
    future: Future[InferResponse] = Future()
    future.set_exception(without_frames(error))
    return future
