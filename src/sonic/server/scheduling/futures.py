"""The futures of requests: what would cost every one of them is left until somebody asks for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.errors import SonicError
    from sonic.protocol.messages import InferResponse


class JobFuture(Future["InferResponse"]):
    """The future of a job, which says at once that it was cancelled.

    A callback would do too, but every request would pay for it.
    """

    on_cancel: Callable[[], None] | None = None
    given_up: bool = False
    """Whether somebody has tried to cancel it, even if that was too late."""

    def cancel(self) -> bool:
        """Give the request up, unless it is executed already."""
        self.given_up = True
        done = super().cancel()
        if done and self.on_cancel is not None:
            self.on_cancel()
        return done


class Ended(JobFuture):
    """The future of a request that ended before anybody could ask for it. It has no lock until something wants one.

    Parameters
    ----------
    response : InferResponse or None
    error : SonicError or None
        What it ended in instead.
    """

    def __init__(self, response: InferResponse | None, error: SonicError | None = None) -> None:
        # Not Future's own: the condition that it makes costs more than the rest of it.
        self._state = "FINISHED"
        self._result, self._exception = response, error
        self._waiters = []

    @cached_property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return threading.Condition()

    def done(self) -> bool:
        """Whether it has ended: always."""
        return True

    def result(self, timeout: float | None = None) -> InferResponse:
        """Return the response, or raise the error."""
        return super().result(timeout) if self._result is None else self._result
