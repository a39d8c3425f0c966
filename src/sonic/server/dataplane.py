"""Everything that the protocol offers, free of any transport: what the fronts and the in-process transport call."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, InferenceError, InvalidRequest, ModelNotFound, Unavailable, Unsupported, shown
from sonic.protocol.messages import ServerInfo
from sonic.protocol.modelconfig import parse_json
from sonic.server.commands import Commands
from sonic.server.failures import failed
from sonic.server.logsettings import LogSettings
from sonic.server.scheduling.job import NEVER_S
from sonic.server.sharedmemory import SharedMemory
from sonic.server.tracing import Tracer
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.models.model import ServedModel
    from sonic.server.models.repository import Repository
    from sonic.server.scheduling.job import Inline
    from sonic.server.tracing import Trace
    from sonic.specs import ModelSpec

log = logging.getLogger("sonic.server")

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "schedule_policy",
    "statistics",
)
"""What every server has; shared memory and traces depend on how it was started."""

_NOT_POLLED = "failed to load {!r}, failed to poll from model repository"
"""What clients that were written for Triton know it by, as the other words of a load."""


class Dataplane:
    """A server without its ports. Thread-safe.

    Parameters
    ----------
    repository : Repository
        With the models loaded that are to be served.
    explicit : bool
        Whether clients may load and unload models.
    strict_readiness : bool
        Whether a model that could not be loaded keeps the server from being ready.
    name : str
        What the server calls itself.
    memory : SharedMemory or None
        Regions of shared memory; None: for clients on this host.
    logs : LogSettings or None
        What is logged; None: as the logger is set.
    traces : Tracer or None
        What is traced; None: nothing can be.

    Attributes
    ----------
    memory : SharedMemory
    logs : LogSettings
    traces : Tracer
    commands : Commands
        Where fronts load and unload models.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        explicit: bool = False,
        strict_readiness: bool = True,
        name: str = "sonic",
        memory: SharedMemory | None = None,
        logs: LogSettings | None = None,
        traces: Tracer | None = None,
    ) -> None:
        self.memory = memory or SharedMemory()
        self.logs = logs or LogSettings()
        self.traces = traces or Tracer()
        self.commands = Commands("sonic-commands")
        self._repository = repository
        self._explicit = explicit
        self._strict_readiness = strict_readiness
        self._name = name
        self._retiring = False
        self._draining = False

    # ---- inference --------------------------------------------------------------------------------------------------

    def infer(self, request: InferRequest, *, inline: Inline = True) -> Future[InferResponse]:
        """Take a request.

        Parameters
        ----------
        request : InferRequest
        inline : bool or callable
            Whether the calling thread may execute the model, if an instance is idle; the future is then finished when
            this returns. Otherwise this returns at once. An event loop gives its ``call_soon``, and executes what is
            quicker than another thread's turn, which is known of models whose executions take as long as those before.

        Returns
        -------
        Future
            Ends exactly once, in a response or in an :class:`~sonic.errors.InferenceError`.
        """
        trace: Trace | None = None
        try:
            if self._draining:
                text = "Server is stopping, scheduler for model has stopped accepting new inference requests"
                raise Unavailable(f"{text}: {request.model!r} takes none any more")
            if self.traces.active:
                model = self._repository.get(request.model, request.version)  # names of none would be counted for ever
                trace = self.traces.sample(request, model.spec.version)
            observe = None if trace is None else trace.observe
            future = self._repository.submit(request, inline=inline, observe=observe)
        except InferenceError as error:
            future = failed(error)
        if trace is not None:  # of one that was refused too: it counts
            future.add_done_callback(lambda _: trace.end())
        if log.isEnabledFor(logging.DEBUG):
            self._report(request, future)
        return future

    def _report(self, request: InferRequest, future: Future[InferResponse]) -> None:
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in request.inputs.items())
        label = f"request {request.id!r} to {request.model!r} ({shapes})"

        def report(ended: Future[InferResponse]) -> None:
            error = None if ended.cancelled() else ended.exception()
            outcome = "cancelled" if ended.cancelled() else f"{type(error).__name__}: {error}" if error else "done"
            log.debug("%s: %s", label, outcome)

        future.add_done_callback(report)

    # ---- server -----------------------------------------------------------------------------------------------------

    def live(self) -> bool:
        """Whether the server runs."""
        return True

    @property
    def accepting(self) -> bool:
        """Whether it has not begun to shut down."""
        return not self._draining

    def ready(self) -> bool:
        """Whether it takes requests, and will, and where readiness is strict no model failed to load."""
        if self._draining or self._retiring:
            return False
        return not (self._strict_readiness and self._repository.failed())

    def server_info(self) -> ServerInfo:
        """Return name, version and extensions."""
        extensions = [*EXTENSIONS]
        if self.memory.offered:
            extensions.append("system_shared_memory")
        if self.traces.offered:
            extensions.append("trace")
        return ServerInfo(self._name, __version__, tuple(sorted(extensions)))

    def trace_settings(
        self, model: str = "", changes: Mapping[str, Sequence[str] | None] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """Return what is traced, of a model or of all, after changing some of it.

        Raises
        ------
        ModelNotFound, Unavailable, InvalidRequest, Unsupported
        """
        if model:
            self._repository.get(model)
        return self.traces.update(changes, model) if changes else self.traces.read(model)

    # ---- models -----------------------------------------------------------------------------------------------------

    def models(self) -> tuple[ServedModel, ...]:
        """Return every loaded version of every model."""
        return self._repository.models()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model takes requests; False for one that is not there."""
        if self._draining:
            return False
        try:
            self._repository.get(name, version)
        except InferenceError:
            return False
        return True

    def model_spec(self, name: str, version: str = "") -> ModelSpec:
        """Return a model as its clients see it.

        Raises
        ------
        ModelNotFound, Unavailable
        """
        return self._repository.get(name, version).spec

    def model_versions(self, name: str, version: str = "") -> tuple[str, ...]:
        """Return the loaded versions of a model, the lowest first, or the one that was asked for."""
        if version:
            return (version,)
        return tuple(model.spec.version for model in self._repository.models() if model.spec.name == name)

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """Return a model's configuration, completed.

        Raises
        ------
        ModelNotFound, Unavailable
        """
        return self._repository.get(name, version).config

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """Return the counters of a model's version, of all its versions, or of all models.

        Raises
        ------
        ModelNotFound, Unavailable
        InvalidRequest
            If that version of it is not loaded: as Triton has it.
        """
        if name:
            try:
                self._repository.get(name)
            except (ModelNotFound, Unavailable) as error:
                raise type(error)(f"requested model {name!r} is not available: {error}") from None
        if name and version:  # all models, where only a version is named: as Triton has it
            try:
                return (self._repository.get(name, version).statistics(),)
            except (ModelNotFound, Unavailable) as error:
                text = f"requested model version is not available for model {name!r}: {error}"
                raise InvalidRequest(text) from None
        return tuple(m.statistics() for m in self._repository.models() if not name or m.spec.name == name)

    def index(self, *, ready: bool = False) -> tuple[ModelStatus, ...]:
        """Return the state of every model version; with `ready` only of those that take requests."""
        return tuple(row for row in self._repository.index() if not ready or row.state == "READY")

    def load(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model.

        Parameters
        ----------
        name : str
        parameters : mapping of str to object, optional
            ``config``: a configuration as JSON text, in place of the one in the model's folder.

        Raises
        ------
        Unavailable
            If clients may not, or the server is shut down.
        Unsupported
            If `parameters` bring the model's files.
        InvalidRequest
            If the parameters make no sense, or the model cannot be loaded: as Triton has it.
        ModelNotFound
            If it is not there.
        """
        self._allow_control()
        config: ModelConfig | None = None
        for parameter, value in (parameters or {}).items():
            if parameter.startswith("file:"):
                raise Unsupported(f"model {name!r}: a model's files come from its folder, not with {parameter!r}")
            if parameter != "config":
                expected = f"model {name!r} takes config, a text, alone"
                raise InvalidRequest(f"unrecognized load parameter {shown(parameter)}: {expected}")
            if not isinstance(value, str):
                wrong = "invalid value type for load parameter 'config', expected string_param"
                raise InvalidRequest(f"{wrong}: model {name!r}, given {shown(value)}")
            try:
                config = parse_json(value, "parameter config")
            except ConfigError as error:
                raise InvalidRequest(f"{_NOT_POLLED.format(name)}: {error}") from None
        try:
            self._repository.load(name, config)
        except ModelNotFound as error:
            raise ModelNotFound(f"{_NOT_POLLED.format(name)}: {error}") from error
        except ConfigError as error:
            log.error("%s", error)  # for who looks after the server, too
            raise InvalidRequest(f"load failed for model {name!r}: {error}") from error

    def unload(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Unload a model, waiting for the requests that it has. One that is not loaded stays so.

        Parameters
        ----------
        name : str
        parameters : mapping of str to object, optional
            ``unload_dependents``: whether the models that it is made of go too. Others are ignored.

        Raises
        ------
        Unavailable
            If clients may not.
        InvalidRequest
            If the parameters make no sense.
        """
        self._allow_control()
        dependents = (parameters or {}).get("unload_dependents", False)
        if not isinstance(dependents, bool):
            raise InvalidRequest(
                f"model {name!r}: parameter unload_dependents is true or false, given {shown(dependents)}"
            )
        self._repository.unload(name, dependents=dependents)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def retire(self) -> None:
        """Be ready no more, so that whoever asks sends requests elsewhere; those that come are taken all the same."""
        self._retiring = True

    def drain(self, timeout_s: float) -> bool:
        """Take no more requests, and wait for those that were taken; False if that takes longer than `timeout_s`.

        To load or unload a model is one of them.
        """
        self._draining = True
        end_s = time.monotonic() + min(timeout_s, NEVER_S)
        drained = all(model.drain(max(0.0, end_s - time.monotonic())) for model in self._repository.models())
        return self._repository.settle(max(0.0, end_s - time.monotonic())) and drained

    def close(self) -> None:
        """Release the models. Requests that have not ended end in Unavailable."""
        self._draining = True
        self._repository.close()

    def _allow_control(self) -> None:
        if self._draining:
            raise Unavailable("Server is stopping, it loads and unloads no more models")
        if not self._explicit:
            raise Unavailable(
                "explicit model load / unload is not allowed if polling is enabled, only with --model-control explicit"
            )
