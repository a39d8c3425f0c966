"""The one port between the client and a server: what every transport does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sonic.client.regions import MemoryUse
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec


class Transport(Protocol):
    """A way to one server. Thread-safe.

    A class is registered under the entry-point group ``sonic.transports`` by the scheme of its URLs and is built
    with the rest of the URL (``host:port``, or a folder): ``GrpcTransport("localhost:8001")``.
    """

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Send a request and return at once.

        The future ends exactly once, in a response or in an :class:`~sonic.errors.InferenceError`. Its callbacks
        may run in any thread, the caller's included, and must not block.
        """

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model (ModelMetadata and ModelConfig).

        Raises
        ------
        InferenceError
            As the server answered; Unavailable if it did not.
        """

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration (ModelConfig).

        Raises
        ------
        InferenceError
            As the server answered; Unsupported, or ModelNotFound, if it does not give configurations.
        """

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version that the server knows of (RepositoryIndex)."""

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model (ModelStatistics), all of its clients together."""

    def ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests now. False, not an error, if it cannot be reached."""

    def close(self) -> None:
        """Release connections. Requests in flight end in Cancelled or Unavailable."""


def memory_use(transport: Transport) -> MemoryUse | None:
    """Return how memory is shared with the server; None of a transport that does not share any."""
    return getattr(transport, "memory_use", None)


@runtime_checkable
class WaitingTransport(Protocol):
    """A transport that can let the thread that waits for an answer bring it: one hand-over less. Not all can."""

    def begin(self, request: InferRequest) -> tuple[Future[InferResponse], Callable[[], object] | None]:
        """Send a request for somebody who has nothing to do but wait.

        Returns
        -------
        future : Future of InferResponse
            As of :meth:`Transport.submit`.
        bring : callable or None
            To be called at once, after callbacks were added to the future. It returns when the future has ended; when
            that is given up, soon. None: the answer comes by itself.
        """
