"""The writing end of a future: ended once, by whoever comes first."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from sonic.errors import Cancelled, InferenceError, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
S = TypeVar("S")


class Promise(Generic[T]):
    """Ends a future exactly once, whatever else tries. Thread-safe.

    Parameters
    ----------
    on_end : callable, optional
        Called once when the future has ended, by a result, an error, or its owner's ``cancel()``.

    Attributes
    ----------
    future : Future
        To hand out. It stays cancellable until it ends.
    """

    def __init__(self, on_end: Callable[[], object] | None = None) -> None:
        self.future: Future[T] = Future()
        self._lock = Lock()
        self._taken = False
        self.future.add_done_callback(self._cancelled)
        if on_end is not None:
            self.future.add_done_callback(lambda _: on_end())

    @property
    def ended(self) -> bool:
        """Whether somebody has ended it."""
        return self._taken

    def resolve(self, value: T) -> bool:
        """End with a result; False if it had ended before."""
        if self._take() and self.future.set_running_or_notify_cancel():
            self.future.set_result(value)
            return True
        return False

    def reject(self, error: InferenceError) -> bool:
        """End with an error; False if it had ended before."""
        if self._take() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
            return True
        return False

    def follow(self, source: Future[S], convert: Callable[[S], T]) -> None:
        """End as another future does, its result converted; when this one is given up, so is that.

        Parameters
        ----------
        source : Future
        convert : callable
            May raise an InferenceError. Must not block.
        """

        def done(ended: Future[S]) -> None:
            try:
                self.resolve(convert(ended.result()))
            except (Exception, CancelledError) as error:  # noqa: BLE001 - becomes the future's error
                self.reject(as_inference_error(error))

        source.add_done_callback(done)
        self.future.add_done_callback(lambda ended: source.cancel() if ended.cancelled() else None)

    def _take(self) -> bool:
        with self._lock:
            taken, self._taken = self._taken, True
            return not taken

    def _cancelled(self, future: Future[T]) -> None:
        # Those who wait for several futures at once learn of a cancelled one only by this call.
        if future.cancelled() and self._take():
            future.set_running_or_notify_cancel()


def as_inference_error(error: BaseException) -> InferenceError:
    """Error of the tree for anything that a call ended in."""
    if isinstance(error, InferenceError):
        return error
    if isinstance(error, CancelledError):
        return Cancelled("the request was given up")
    failure = ModelFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
