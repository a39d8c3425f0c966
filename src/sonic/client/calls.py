"""The calls of one model: its metadata, asked for once, and the requests that a call becomes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from sonic.client.arrays import check_outputs, conform, empty_outputs, is_empty, said_dtypes, split
from sonic.client.gathering import Gathering
from sonic.client.promise import Promise, as_inference_error, failure_of
from sonic.client.totals import add_up
from sonic.errors import InferenceError
from sonic.protocol.messages import InferRequest, ModelStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import ArrayLike

    from sonic.client.router import Router
    from sonic.protocol.messages import InferResponse
    from sonic.specs import ModelSpec

    Arrays = dict[str, np.ndarray[Any, Any]]

CONTROL_TIMEOUT_S = 30.0
"""How long a server may take to say what a model looks like, if the model's own timeout is not shorter."""


class Calls:
    """Calls a model on the servers of a router. Thread-safe.

    Parameters
    ----------
    name, version : str
        An empty version is the server's choice.
    outputs : tuple of str
        Those that are wanted; empty: all.
    request_rows : int
        Most rows of a request; 0: as many as the model takes.
    timeout_s : float or None
        Time that a call may take in all; None is no limit.
    router : callable
        Returns it: a process that was forked has another.
    """

    def __init__(
        self,
        name: str,
        version: str,
        outputs: tuple[str, ...],
        request_rows: int,
        timeout_s: float | None,
        router: Callable[[], Router],
    ) -> None:
        self._name = name
        self._version = version
        self._outputs = outputs
        self._request_rows = request_rows
        self._timeout_s = timeout_s
        self._router = router
        self._lock = Lock()
        self._known: ModelSpec | None = None
        self._asked: Promise[ModelSpec] | None = None
        self._asked_by: Router | None = None

    def spec(self) -> ModelSpec:
        """Return inputs, outputs that are wanted, and most rows of a request. Blocks until a server has said so."""
        return self._known or self._ask().result()

    def submit(self, arrays: Mapping[str, ArrayLike], *, here: bool = False) -> Future[Arrays]:
        """Call the model and return at once.

        Parameters
        ----------
        arrays : mapping of str to array_like
            By input name.
        here : bool
            Whether the caller has nothing to do but to wait: then this may block, for as long as the future would.
        """
        until_s = None if self._timeout_s is None else monotonic() + self._timeout_s
        if self._known is not None:
            return self._send(self._known, arrays, until_s, here=here)
        promise: Promise[Arrays] = self._router().promise(until_s, f"call of model {self._name!r}")

        def send(answered: Future[ModelSpec]) -> None:
            failure = failure_of(answered)
            if failure is not None:
                promise.reject(failure)
            elif not promise.ended:
                promise.follow(self._send(answered.result(), arrays, until_s), lambda outputs: outputs)

        self._ask().on_end(send)
        return promise

    def statistics(self) -> ModelStatistics:
        """Counters of the model on all of its servers together. Blocks."""
        router = self._router()
        rows = router.everywhere(lambda way: way.statistics(self._name, self._version, CONTROL_TIMEOUT_S))
        known = [row for row in rows if isinstance(row, ModelStatistics)]
        errors = [row for row in rows if isinstance(row, InferenceError)]
        if not known and errors:
            raise errors[0]
        if not known:
            until_s = monotonic() + CONTROL_TIMEOUT_S
            return router.ask(
                self._name, lambda way, left_s: way.statistics(self._name, self._version, left_s), until_s
            )
        return add_up(known)

    def _ask(self) -> Promise[ModelSpec]:
        with self._lock:
            router = self._router()
            if self._asked is not None and self._asked_by is router:
                return self._asked
            if self._known is not None:
                known: Promise[ModelSpec] = Promise()
                known.resolve(self._known)
                return known
            limit_s = CONTROL_TIMEOUT_S + router.start_s
            until_s = monotonic() + min(self._timeout_s or limit_s, limit_s)
            promise: Promise[ModelSpec] = router.promise(until_s, f"metadata of model {self._name!r}")
            self._asked, self._asked_by = promise, router

        def ask() -> None:
            spec = router.ask(
                self._name, lambda way, left_s: way.model_spec(self._name, self._version, left_s), until_s
            )
            if self._outputs:
                spec = replace(spec, outputs=tuple(spec.output(name) for name in self._outputs))
            if self._request_rows:
                spec = replace(spec, max_batch_size=min(spec.max_batch_size, self._request_rows))
            promise.resolve(spec)

        def note(ended: Future[ModelSpec]) -> None:
            with self._lock:
                self._asked = None
                if failure_of(ended) is None:
                    self._known = ended.result()

        promise.on_end(note)
        router.background(ask, promise)
        return promise

    def _send(
        self, spec: ModelSpec, arrays: Mapping[str, ArrayLike], until_s: float | None, *, here: bool = False
    ) -> Future[Arrays]:
        try:
            inputs = conform(spec, arrays)
            if is_empty(spec, inputs):
                empty: Promise[Arrays] = Promise()
                empty.resolve(empty_outputs(spec))
                return empty
            router = self._router()

            def send(part: Arrays, here: bool = False) -> Future[Arrays]:
                dtypes = said_dtypes(spec, part)
                request = InferRequest(self._name, part, self._version, outputs=self._outputs, dtypes=dtypes)
                return router.infer(request, until_s, partial(_outputs, spec, part), here=here)

            parts = split(spec, inputs)
            if len(parts) == 1:
                return send(parts[0], here)
            promise: Promise[Arrays] = router.promise(until_s, f"call of model {self._name!r}")
            Gathering(parts, send, promise, router).go()
            return promise
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            failed: Promise[Arrays] = Promise()
            failed.reject(as_inference_error(error))
            return failed


def _outputs(spec: ModelSpec, sent: Arrays, answer: InferResponse) -> Arrays:
    return check_outputs(spec, sent, answer.outputs)
