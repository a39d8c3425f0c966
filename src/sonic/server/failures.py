"""Errors on their way to a client: without the frames that they were raised in, and those that nobody foresaw."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sonic.errors import ConfigError, ModelFailed, SonicError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.protocol.messages import InferResponse

log = logging.getLogger("sonic.server")

E = TypeVar("E", bound=BaseException)


def is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C, which comes to the main thread alone, and no fault of the code that it came in.

    Whatever else a model's code raises is its own, though it be no ``Exception``, as asyncio's ``CancelledError``.
    """
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Call anybody's code that a model is loaded with: whatever it raises says that `what` failed, and why.

    Raises
    ------
    ConfigError
        But for Sonic's own errors, and Ctrl-C.
    """
    try:
        yield
    except SonicError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ConfigError(f"{what} failed: {one_line(error)}") from error


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


def foreseen(error: BaseException, what: str) -> SonicError:
    """Return what a client is told of an error; one that is not of Sonic's tree is a fault of the server, and logged.

    Parameters
    ----------
    error : BaseException
        Loses its frames, once they are in the log.
    what : str
        What it ended, for the log: ``"an HTTP call"``.
    """
    if isinstance(error, SonicError):
        return without_frames(error)
    log.error("%s failed for no reason that is known", what, exc_info=error)
    without_frames(error)
    return ModelFailed(f"internal error of the server: {type(error).__name__}: {error}")
