"""The writing end of a future: ended once, by whoever comes first."""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, Future
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sonic.errors import Cancelled, InferenceError, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("sonic.client")

T = TypeVar("T")
S = TypeVar("S")


class Givable(Protocol):
    """What can be given up: a future, or a call of grpc."""

    def cancel(self) -> object:
        """Give it up."""


class Promise(Future[T]):
    """A future that is ended exactly once, whatever else tries. Thread-safe.

    It is handed out as the future that it is, and can be given up with ``cancel()`` until it ends. What its makers
    want to know of the end they say with :meth:`on_end` and not with ``add_done_callback``: a future keeps its
    callbacks, and with them, in a cycle, the arrays of a request that is long over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._guard = Lock()
        self._hooks: list[Callable[[Future[T]], object]] | None = []
        self._source: Givable | None = None

    @property
    def ended(self) -> bool:
        """Whether somebody has ended it, or is about to."""
        return self._hooks is None

    def on_end(self, hook: Callable[[Future[T]], object]) -> None:
        """Have `hook` called with the future once it has ended, however; at once if it has. It must not block.

        What it raises is logged, and keeps no other hook from being called.
        """
        with self._guard:
            if self._hooks is not None:
                self._hooks.append(hook)
                return
        self.add_done_callback(hook)

    def cancels(self, source: Givable) -> None:
        """Have `source`, of which there is one, given up when this is; at once if it is already."""
        with self._guard:
            if self._hooks is not None:
                self._source = source
                return
        if self.cancelled():
            source.cancel()

    def resolve(self, value: T) -> bool:
        """End with a result; False if it had ended before."""
        # This and failure_of are on the way of every answer: fewer calls rather than fewer lines.
        with self._guard:
            hooks, self._hooks, self._source = self._hooks, None, None
        if hooks is None:
            return False
        try:
            self.set_result(value)
        finally:
            self._run(hooks)
        return True

    def reject(self, error: InferenceError) -> bool:
        """End with an error; False if it had ended before."""
        hooks, _ = self._take()
        if hooks is not None:
            # Its traceback would hold the frames that it passed, and these the request and this very future.
            try:
                self.set_exception(error.with_traceback(None))
            finally:
                self._run(hooks)
        return hooks is not None

    def cancel(self) -> bool:
        """Give it up; False if it had ended before, other than by this."""
        hooks, source = self._take()
        if hooks is None:
            return self.cancelled()
        if source is not None:
            hooks.insert(0, lambda _: source.cancel())
        try:
            super().cancel()
        finally:
            # Those who wait for several futures at once learn of a cancelled one only by this call.
            self.set_running_or_notify_cancel()
            self._run(hooks)
        return True

    def follow(self, source: Future[S], convert: Callable[[S], T]) -> None:
        """End as another future does, its result converted; when this one is given up, so is that.

        Parameters
        ----------
        source : Future
        convert : callable
            May raise an InferenceError. Must not block.
        """

        def done(ended: Future[S]) -> None:
            failure = failure_of(ended)
            if failure is not None:
                self.reject(failure)
                return
            try:
                self.resolve(convert(ended.result()))
            except Exception as error:  # noqa: BLE001 - becomes the future's error
                self.reject(as_inference_error(error))

        self.on_end(lambda ended: source.cancel() if ended.cancelled() else None)
        source.add_done_callback(done)

    def _take(self) -> tuple[list[Callable[[Future[T]], object]] | None, Givable | None]:
        with self._guard:
            hooks, self._hooks = self._hooks, None
            source, self._source = self._source, None
            return hooks, source

    def _run(self, hooks: list[Callable[[Future[T]], object]]) -> None:
        """Call them all: others wait for what each of them does."""
        fatal: BaseException | None = None
        for hook in hooks:
            try:
                hook(self)
            except Exception:
                log.exception("what follows the end of a request failed")
            except BaseException as error:  # noqa: BLE001 - an interrupt, or somebody's sys.exit(), goes on its way after
                fatal = error
        if fatal is not None:
            raise fatal


def failure_of(ended: Future[Any]) -> InferenceError | None:
    """Error that a future ended in; None if in a result.

    It is not raised on the way: what an exception passes through it keeps alive, in a cycle.
    """
    try:
        error = ended.exception()
    except CancelledError:
        return Cancelled("the request was given up")
    return None if error is None else as_inference_error(error)


def as_inference_error(error: BaseException) -> InferenceError:
    """Error of the tree for anything that a call ended in."""
    if isinstance(error, InferenceError):
        return error
    if isinstance(error, CancelledError):
        return Cancelled("the request was given up")
    failure = ModelFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
