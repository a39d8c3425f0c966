"""Transports without a server: their answers are scripted, and nothing waits for time to pass."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from sonic.errors import Cancelled, ModelNotFound
from sonic.protocol.messages import InferResponse, ModelStatistics, ModelStatus
from sonic.protocol.modelconfig import data_type_of
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from sonic.errors import InferenceError
    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec, TensorSpec

    Answer = Callable[[InferRequest], Mapping[str, np.ndarray[Any, Any]]]


class Held:
    """A request that a :class:`FakeTransport` holds until it is told how that ends.

    Attributes
    ----------
    request : InferRequest
    future : Future of InferResponse
    """

    def __init__(self, request: InferRequest, answer: Answer) -> None:
        self.request = request
        self.future: Future[InferResponse] = Future()
        self._answer = answer

    def answer(self) -> None:
        """End it with the answer that the transport gives."""
        if self.future.set_running_or_notify_cancel():
            outputs = self._answer(self.request)
            self.future.set_result(
                InferResponse(self.request.model, self.request.version or "1", outputs, self.request.id)
            )

    def fail(self, error: InferenceError) -> None:
        """End it with an error."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class FakeTransport:
    """A transport whose answers are scripted; see :class:`~sonic.client.transport.Transport`.

    Parameters
    ----------
    specs : iterable of ModelSpec
        The models that it has.
    answer : callable
        Outputs for a request.
    url : str
        A name, distinct among the transports of a client.

    Attributes
    ----------
    requests : list of InferRequest
        What was submitted, in order.
    holding : bool
        Whether requests wait for the test, instead of ending at once.
    held : queue of Held
        Those that do; ``held.get(timeout=...)``.
    down : InferenceError or None
        While set, everything ends in it.
    closed : bool
    configs : dict of str to ModelConfig
        What it says of models beyond their specs.
    """

    def __init__(self, specs: Iterable[ModelSpec], answer: Answer, url: str = "fake:a") -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._answer = answer
        self._url = url
        self._script: deque[InferenceError | None] = deque()
        self._lock = Lock()
        self._in_flight: list[Held] = []
        self.requests: list[InferRequest] = []
        self.held: SimpleQueue[Held] = SimpleQueue()
        self.holding = False
        self.down: InferenceError | None = None
        self.closed = False
        self.configs: dict[str, ModelConfig] = {}

    @property
    def url(self) -> str:
        """The name given."""
        return self._url

    def then(self, *outcomes: InferenceError | None) -> None:
        """Script how the next requests end: in these errors, or, for None, in the answer."""
        self._script.extend(outcomes)

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """End at once as the script says, or, while `holding`, when the test says."""
        held = Held(request, self._answer)
        with self._lock:
            self.requests.append(request)
            error = self.down or (self._script.popleft() if self._script else None)
            if self.closed:
                error = Cancelled(f"{self._url} is closed")
            if error is None and request.model not in self._specs:
                error = ModelNotFound(f"no model {request.model!r}")
            if error is None and self.holding:
                self._in_flight.append(held)
                self.held.put(held)
                return held.future
        if error is not None:
            held.fail(error)
        else:
            held.answer()
        return held.future

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:  # noqa: ARG002
        """Return the spec given for the model."""
        self._check(model)
        return self._specs[model]

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:  # noqa: ARG002
        """Return the configuration in `configs`, or one that says what the spec does."""
        self._check(model)
        return self.configs.get(model) or _config_of(self._specs[model])

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:  # noqa: ARG002
        """Return the models given; all are ready."""
        self._check(None)
        return tuple(ModelStatus(spec.name, spec.version, "READY") for spec in self._specs.values())

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:  # noqa: ARG002
        """Count the requests of a model."""
        self._check(model)
        count = sum(request.model == model for request in self.requests)
        return ModelStatistics(model, self._specs[model].version, inference_count=count, execution_count=count)

    def ready(self, timeout_s: float | None = None) -> bool:  # noqa: ARG002
        """Whether it is neither down nor closed."""
        return self.down is None and not self.closed

    def close(self) -> None:
        """End what is held in Cancelled."""
        with self._lock:
            self.closed = True
        for held in self._in_flight:
            if not held.future.done():
                held.fail(Cancelled(f"{self._url} was closed"))

    def _check(self, model: str | None) -> None:
        if self.closed:
            raise Cancelled(f"{self._url} is closed")
        if self.down is not None:
            raise self.down
        if model is not None and model not in self._specs:
            raise ModelNotFound(f"no model {model!r}")


def _config_of(spec: ModelSpec) -> ModelConfig:
    config = ModelConfig(name=spec.name, platform=spec.platform, max_batch_size=spec.max_batch_size)
    for tensors, target in ((spec.inputs, config.input), (spec.outputs, config.output)):
        for tensor in tensors:
            target.add(name=tensor.name, data_type=data_type_of(tensor.dtype), dims=_dims(tensor, spec))
    return config


def _dims(tensor: TensorSpec, spec: ModelSpec) -> tuple[int, ...]:
    return tensor.shape[1:] if spec.max_batch_size else tensor.shape
