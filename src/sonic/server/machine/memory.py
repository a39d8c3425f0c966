"""Memory that is free again: of models that are gone, of requests that have ended."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MORE_OBJECTS = 20_000
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def give_back() -> None:
    """Return what has been freed to the system.

    glibc keeps freed memory that lies below some that is in use; a server that loads one model after another would
    grow by a part of each.
    """
    gc.collect()
    _ask("malloc_trim", 0)


def share_one_arena() -> None:
    """Let all threads of this process allocate from one arena; for a process that does nothing but serve.

    glibc gives threads arenas of their own, eight for each core, and returns what is free at the end of one to the
    system only when something else in it is freed: a server would grow for hours, each arena by as much as its largest
    requests took. That they share one costs nothing that could be measured, since tensors of ONNX Runtime come from
    pools and Python holds its own lock. ``MALLOC_ARENA_MAX`` in the environment has precedence.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _ask("mallopt", _ARENA_MAX, 1)


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for circles of references less often meanwhile; for a process that does nothing but serve.

    Python looks each time that there are 700 more objects than before, which is what a few dozen requests in hand are
    made of: with 64 clients that took a quarter of the server's time. None of them is part of a circle.
    """
    before = gc.get_threshold()
    gc.set_threshold(_MORE_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _ask(function: str, *arguments: int) -> None:
    try:
        call = getattr(ctypes.CDLL(None), function)
    except (AttributeError, OSError, TypeError):  # another C library, or none that can be asked
        return
    call(*arguments)
