"""The transport without a network: a dataplane in the client's own process.

It is how a workflow runs its models directly, and the client's fallback when no server can be reached. The client
finds it as the scheme ``local`` among the entry points ``sonic.transports``; it has the methods of the client's
Transport port without importing it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sonic.errors import ConfigError, InferenceError, ModelFailed, Unavailable
from sonic.protocol.messages import ModelStatus
from sonic.server.dataplane import Dataplane
from sonic.server.failures import failed
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec


class InProcessTransport:
    """The models of a folder, executed in this process. Thread-safe.

    A model is loaded when it is first asked for. If one of its instances is idle, :meth:`submit` executes the request
    in the calling thread and returns a finished future.

    Parameters
    ----------
    address : str
        A folder of models, or a file of functions as :func:`sonic.serve` takes it, and optionally ``?cores=N``.
    cores : int or None
        Cores that the instances of one model may keep busy; None: all that the process may use.

    Raises
    ------
    ConfigError
        If there is no such folder, or the options make no sense.
    """

    def __init__(self, address: str, *, cores: int | None = None) -> None:
        folder, _, query = address.partition("?")
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name != "cores" or not value.isdecimal():
                raise ConfigError(f"local:{address}: expected ?cores=N after the folder, given {name}={value}")
            cores = int(value)
        self._folder = folder
        # Whoever fills this queue is the one who would be refused, and has nowhere else to go.
        self._repository = Repository([folder], cores=cores, max_queue=0, max_queue_bytes=0)
        self._dataplane = Dataplane(self._repository)
        self._lock = threading.Lock()
        self._tried: dict[str, InferenceError | None] = {}

    @property
    def url(self) -> str:
        """Scheme and folder."""
        return f"local:{self._folder}"

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Execute a request: here and now if an instance is idle."""
        try:
            self.load(request.model)
        except InferenceError as error:
            return failed(error)
        return self._dataplane.infer(request)

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:  # noqa: ARG002
        """Return inputs, outputs and largest batch of a model.

        Raises
        ------
        ModelNotFound, ModelFailed
            If there is no such model, or it cannot be loaded.
        """
        self.load(model)
        return self._dataplane.model_spec(model, version)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:  # noqa: ARG002
        """Return a model's configuration, completed.

        Raises
        ------
        ModelNotFound, ModelFailed
            If there is no such model, or it cannot be loaded.
        """
        self.load(model)
        return self._dataplane.model_config(model, version)

    def load(self, model: str) -> None:
        """Load a model, unless that was done.

        Raises
        ------
        ModelNotFound, ModelFailed
            If there is no such model, or it cannot be loaded.
        Unavailable
            If it is closed.
        """
        if not self._dataplane.accepting:
            raise Unavailable(f"{self.url} is closed")
        if model not in self._tried:
            with self._lock:
                if model not in self._tried:
                    outcome: InferenceError | None = None
                    try:
                        self._repository.load(model)
                    except InferenceError as error:
                        outcome = error
                    except ConfigError as error:
                        outcome = ModelFailed(str(error))
                    self._tried[model] = outcome
        failure = self._tried.get(model)
        if failure is not None:
            raise type(failure)(str(failure))

    def unload(self, model: str) -> None:
        """Unload a model, waiting for its requests. The next one loads it again, also if that failed before."""
        with self._lock:
            failed_before = self._tried.pop(model, None)
            if failed_before is None and self._dataplane.accepting:
                self._repository.unload(model)

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:  # noqa: ARG002
        """Return every model in the folder; one that is yet to be loaded counts as ready."""
        return tuple(
            ModelStatus(row.name, row.version, "READY") if row.name not in self._tried else row
            for row in self._dataplane.index()
        )

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:  # noqa: ARG002
        """Return the counters of a model.

        Raises
        ------
        ModelNotFound, ModelFailed
            If there is no such model, or it cannot be loaded.
        """
        self.load(model)
        spec = self._dataplane.model_spec(model, version)
        return self._dataplane.statistics(model, spec.version)[0]

    def ready(self, timeout_s: float | None = None) -> bool:  # noqa: ARG002
        """Whether it takes requests: until it is closed."""
        return self._dataplane.accepting

    def close(self) -> None:
        """Release the models. Requests that wait end in Unavailable."""
        self._dataplane.close()
