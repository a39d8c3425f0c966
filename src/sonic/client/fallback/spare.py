"""What one client has of a fallback: a transport that starts it, loads what is asked for, and outlives its deaths."""

from __future__ import annotations

import os
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from sonic.client.fallback.description import Fallback
from sonic.client.fallback.registry import FALLBACKS
from sonic.client.fallback.running import as_it_is
from sonic.client.promise import Promise, failure_of
from sonic.errors import Cancelled, ConfigError, DeadlineExceeded, InferenceError, Unavailable
from sonic.protocol.messages import ModelStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.client.fallback.running import Running, Share
    from sonic.client.fallback.shared import SharedFallback
    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec

T = TypeVar("T")


class Spare:
    """A fallback as a :class:`~sonic.client.transport.Transport`. Thread-safe.

    What fails because the fallback dies is sent again once it is back, as often as its description allows.

    Parameters
    ----------
    fallback : Fallback or path-like
    share : callable, optional
        Makes of the transport to a server at an address one that shares memory with it.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """

    def __init__(self, fallback: Fallback | str | os.PathLike[str], share: Share = as_it_is) -> None:
        described = Fallback.of(fallback)
        # It may be started much later, in another working directory.
        self.fallback = replace(described, folder=os.path.abspath(described.folder))  # noqa: PTH100
        if not Path(self.fallback.folder).is_dir():
            raise ConfigError(f"fallback {self.fallback.folder} is not a folder of models")
        self.folder = self.fallback.folder
        self.url = self.fallback.url
        self._share = share
        self._lock = Lock()
        self._shared: SharedFallback | None = None
        self._used: set[str] = set()
        self._here: dict[str, Transport] = {}  # by model, for those that this process runs: they cannot die
        self._closed = False

    @property
    def transport(self) -> Transport | None:
        """The way to it; None before it is started."""
        return None if self._shared is None else self

    @property
    def start_s(self) -> float:
        """How long its start may take, in seconds; in this process there is none."""
        return 0.0 if self.fallback.how == "inprocess" else self.fallback.start_timeout_s

    def start(self) -> Transport:
        """Return the way to it. Returns at once; a request waits until the model that it is for is loaded.

        Raises
        ------
        Cancelled
            Once closed.
        """
        self._begun()
        return self

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Send a request and return at once; in this process it may be executed before, if its model is loaded."""
        here = self._here.get(request.model)
        if here is not None:
            return here.submit(request)
        try:
            reached = self._reach(request.model)
        except InferenceError as error:
            failed: Promise[InferResponse] = Promise()
            failed.reject(error)
            return failed
        if reached.done() and failure_of(reached) is None and not (running := reached.result()).mortal:
            with self._lock:
                if request.model in self._used and not self._closed:
                    self._here[request.model] = running.transport
            return running.transport.submit(request)
        promise: Promise[InferResponse] = Promise()
        self._follow(request, promise, reached)
        return promise

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model."""
        return self._ask(model, lambda way: way.model_spec(model, version, timeout_s), timeout_s)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration."""
        return self._ask(model, lambda way: way.model_config(model, version, timeout_s), timeout_s)

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version in the folder; none while it does not run."""
        running = None if self._shared is None else self._shared.running
        return () if running is None else running.transport.models(timeout_s)

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model, since it was loaded; zeros for one that was not used, which is not loaded for it."""
        with self._lock:
            used = model in self._used
        if not used and (Path(self.folder) / model).is_dir():
            return ModelStatistics(model, version)
        return self._ask(model, lambda way: way.statistics(model, version, timeout_s), timeout_s)

    def ready(self, timeout_s: float | None = None) -> bool:  # noqa: ARG002
        """Whether it takes requests: until it is closed."""
        return not self._closed

    def release(self, model: str) -> None:
        """Note that this client needs a model no more; if nobody does, it is unloaded."""
        with self._lock:
            used = model in self._used
            self._used.discard(model)
            self._here.pop(model, None)
        if used and self._shared is not None:
            self._shared.release(model, self)

    def close(self) -> None:
        """Let go of it; it ends if it was the last client's."""
        with self._lock:
            shared = None if self._closed else self._shared
            self._closed = True
            self._here.clear()
        if shared is not None:
            FALLBACKS.leave(shared, self)

    def _begun(self) -> SharedFallback:
        with self._lock:
            if self._closed:
                raise Cancelled(f"fallback {self.url} is closed")
            if self._shared is None:
                self._shared = FALLBACKS.join(self.fallback, self, self._share)
            return self._shared

    def _reach(self, model: str) -> Promise[Running]:
        shared = self._begun()
        if model not in self._used:
            with self._lock:
                self._used.add(model)
        return shared.reach(model, self)

    def _follow(self, request: InferRequest, promise: Promise[InferResponse], reached: Promise[Running]) -> None:
        def go(ended: Future[Running]) -> None:
            error = failure_of(ended)
            if error is not None:
                promise.reject(error)
            elif not promise.ended:
                self._run(partial(self._send, request, ended.result(), promise), promise)

        if reached.done() and failure_of(reached) is None:
            self._send(request, reached.result(), promise)
        else:
            reached.on_end(go)

    def _send(self, request: InferRequest, running: Running, promise: Promise[InferResponse]) -> None:
        if running.pulse is not None:
            running.pulse.sent()
        try:
            sent = running.transport.submit(request)
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            sent = Future()
            sent.set_exception(error)
        promise.cancels(sent)
        sent.add_done_callback(partial(self._ended, request, running, promise))

    def _ended(
        self, request: InferRequest, running: Running, promise: Promise[InferResponse], sent: Future[InferResponse]
    ) -> None:
        if running.pulse is not None:
            running.pulse.ended()
        error = failure_of(sent)
        if error is None:
            promise.resolve(sent.result())
        elif running.mortal and isinstance(error, Unavailable | Cancelled) and not promise.ended:
            self._run(partial(self._again, request, running, promise, error), promise)
        else:
            promise.reject(error)

    def _again(
        self, request: InferRequest, running: Running, promise: Promise[InferResponse], error: InferenceError
    ) -> None:
        try:
            if self._begun().lost(running):
                self._follow(request, promise, self._reach(request.model))
                return
        except InferenceError as failure:
            error = failure
        promise.reject(error)

    def _run(self, task: Callable[[], None], promise: Promise[InferResponse]) -> None:
        if self._shared is None or not self._shared.workers.run(task):
            promise.reject(Cancelled(f"fallback {self.url} is closed"))

    def _ask(self, model: str, question: Callable[[Transport], T], timeout_s: float | None) -> T:
        while True:
            reached = self._reach(model)
            if not wait([reached], timeout_s).done:
                raise DeadlineExceeded(f"fallback {self.url} had not loaded model {model!r} in time")
            if (error := failure_of(reached)) is not None:
                raise type(error)(str(error))  # not itself: it may be raised many times, with a traceback each
            running = reached.result()
            try:
                return question(running.transport)
            except (Unavailable, Cancelled):
                if not self._begun().lost(running):
                    raise
