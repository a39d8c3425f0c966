"""What clients command and may take minutes, as loading a model: some at a time, and nothing else waits for it."""

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
    """Calls what it is given in threads that live while there is something to do.

    The interpreter waits at its end for the threads of an executor, and not for these.

    Parameters
    ----------
    name : str
        Of the threads.
    most : int
        How many there are at most.
    """

    def __init__(self, name: str, most: int = 8) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0

    def submit(self, function: Callable[..., Result], *given: object) -> Future[Result]:
        """Call a function as soon as a thread is free; it is not called if the future is cancelled by then."""
        future: Future[Result] = Future()
        with self._lock:
            if self._threads < self._most:
                # First: if the system gives no thread, nothing is left that would be called later.
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
                self._threads += 1
            self._waiting.append(partial(_call, future, function, *given))
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                call = self._waiting.popleft()
            call()


def _call(future: Future[Result], function: Callable[..., Result], *given: object) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*given))
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
