"""What clients command and may take minutes, as loading a model: one after the other, and nothing waits for it."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Commands:
    """Calls what it is given in a thread that lives while there is something to do.

    The interpreter waits at its end for the threads of an executor, and not for this one.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._works = False

    def submit(self, function: Callable[..., Result], *given: object) -> Future[Result]:
        """Call a function when those before it have returned; it is not called if the future is cancelled by then."""
        future: Future[Result] = Future()
        with self._lock:
            self._waiting.append(partial(_call, future, function, *given))
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._works = False
                    return
                call = self._waiting.popleft()
            call()


def _call(future: Future[Result], function: Callable[..., Result], *given: object) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*given))
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
