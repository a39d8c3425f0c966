"""A way to a server on which a model is used only if it is the right one."""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from sonic.client.identity import examine
from sonic.client.promise import Promise, as_inference_error, failure_of
from sonic.client.transport import WaitingTransport, memory_use
from sonic.client.workers import Workers
from sonic.errors import Cancelled, ModelNotFound, WrongModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sonic.client.identity import Copy, Verdict
    from sonic.client.regions import MemoryUse
    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec

log = logging.getLogger("sonic.client")

_ASK_S = 30.0
_RECHECK_S = 30.0
"""For how long a server that had another model is believed to have it still."""


class CheckedTransport:
    """A way to a server that is used for a model only once that is seen to be the right one. Thread-safe.

    It is looked at before the first request, and again after the server could not be reached: it may have come back
    with another model.

    Parameters
    ----------
    transport : Transport
    copy : Copy
        Of the models.
    """

    def __init__(self, transport: Transport, copy: Copy) -> None:
        self._transport = transport
        self._waiting = transport if isinstance(transport, WaitingTransport) else None
        self._copy = copy
        self._lock = Lock()
        self._same: set[tuple[str, str]] = set()
        self._wrong: dict[tuple[str, str], tuple[str, float]] = {}
        self._asked: dict[tuple[str, str], Promise[None]] = {}
        self._noted: set[str] = set()
        self._workers = Workers(2, "sonic-identity")

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""
        return self._transport.url

    @property
    def memory_use(self) -> MemoryUse | None:
        """Memory that is shared with the server."""
        return memory_use(self._transport)

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Send a request, once the model is seen to be the right one; else it ends in WrongModel."""
        key = request.model, request.version
        if key in self._same:
            return self._send(request)
        promise: Promise[InferResponse] = Promise()

        def send(ended: Future[None]) -> None:
            failure = failure_of(ended)
            if failure is not None:
                promise.reject(failure)
            elif not promise.ended:
                promise.follow(self._send(request), lambda response: response)

        self._ask(key).on_end(send)
        return promise

    def begin(self, request: InferRequest) -> tuple[Future[InferResponse], Callable[[], object] | None]:
        """Send a request for somebody who waits; see :class:`~sonic.client.transport.WaitingTransport`."""
        if self._waiting is None or (request.model, request.version) not in self._same:
            return self.submit(request), None
        sent, bring = self._waiting.begin(request)
        sent.add_done_callback(self._ended)
        return sent, bring

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model.

        Raises
        ------
        WrongModel
            If it is another one.
        """
        self._check((model, version), timeout_s)
        return self._transport.model_spec(model, version, timeout_s)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration, whichever model it is."""
        return self._transport.model_config(model, version, timeout_s)

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version that the server knows of."""
        return self._transport.models(timeout_s)

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model."""
        return self._transport.statistics(model, version, timeout_s)

    def ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests now."""
        return self._transport.ready(timeout_s)

    def close(self) -> None:
        """Release connections."""
        self._workers.close()
        with self._lock:
            asked = list(self._asked.values())
        for promise in asked:
            promise.reject(Cancelled(f"{self.url}: the connection was closed"))
        self._transport.close()

    def _send(self, request: InferRequest) -> Future[InferResponse]:
        sent = self._transport.submit(request)
        sent.add_done_callback(self._ended)
        return sent

    def _ended(self, sent: Future[InferResponse]) -> None:
        failure = None if sent.cancelled() else failure_of(sent)
        if failure is not None and (failure.retryable or isinstance(failure, ModelNotFound)):
            self._same = set()

    def _ask(self, key: tuple[str, str]) -> Promise[None]:
        with self._lock:
            if key in self._asked:
                return self._asked[key]
            promise = self._asked[key] = Promise()

        def check() -> None:
            try:
                self._check(key, _ASK_S)
            except Exception as error:  # noqa: BLE001 - becomes the future's error
                promise.reject(as_inference_error(error))
            else:
                promise.resolve(None)

        def forget(_: Future[None]) -> None:
            with self._lock:
                self._asked.pop(key, None)

        promise.on_end(forget)
        if not self._workers.run(check):
            promise.reject(self._workers.refusal(f"{self.url}: the connection"))
        return promise

    def _check(self, key: tuple[str, str], timeout_s: float | None) -> None:
        if key in self._same:
            return
        known = self._wrong.get(key)
        if known is None or known[1] < monotonic():
            same = self._same  # of before it is asked: what is found out meanwhile counts
            verdict = examine(self._transport, self._copy, *key, timeout_s)
            self._note(key[0], verdict)
            if not verdict.differences:
                self._wrong.pop(key, None)
                same.add(key)
                return
            what = f"model {key[0]!r} on {self.url} is another one than the local copy"
            known = self._wrong[key] = f"{what}: {'; '.join(verdict.differences)}", monotonic() + _RECHECK_S
        raise WrongModel(known[0])

    def _note(self, model: str, verdict: Verdict) -> None:
        for line in verdict.notes:
            text = f"model {model!r} on {self.url} is not compared with its copy: {line}"
            if text not in self._noted:
                self._noted.add(text)
                log.info("%s", text)
