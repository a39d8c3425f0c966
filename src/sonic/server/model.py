"""One loaded version of a model: its backend, its scheduler, and what clients see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.messages import InferResponse
from sonic.protocol.modelconfig import to_spec
from sonic.protocol.parameters import priority_of
from sonic.server.backends.base import LoadContext, Rows, backend_for, first_line
from sonic.server.classification import check_classes, classify_outputs, read_labels
from sonic.server.completion import complete, with_instances
from sonic.server.execution import Plan
from sonic.server.job import Job
from sonic.server.queueing import DEFAULT_MAX_QUEUE, policy_of
from sonic.server.ragged import ragged_of
from sonic.server.scheduler import Scheduler
from sonic.server.validation import check_request, shape_key
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np

    from sonic.protocol.messages import InferRequest, ModelStatistics
    from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelInput, ModelOutput
    from sonic.server.backends.base import Models, RequestScheduler
    from sonic.server.execution import Execution


class ServedModel:
    """A model that takes requests.

    Attributes
    ----------
    config : ModelConfig
        Completed, with the instances that there are.
    spec : ModelSpec
    merges : bool
        Whether requests share executions.

    Parameters
    ----------
    name, version : str
    folder : Path
        The version's folder.
    config : ModelConfig
        As its owner wrote it; empty if there is no config.pbtxt.
    cores : int
        Cores that its instances together may keep busy.
    default_max_batch : int
        Largest batch where the owner says nothing.
    max_queue : int
        Requests that may wait where the owner says nothing; 0: no bound.
    models : Models or None
        The other models of the server, for one that is made of them.

    Raises
    ------
    ConfigError
        If it cannot be loaded, with model and version.
    """

    def __init__(
        self,
        name: str,
        version: str,
        folder: Path,
        config: ModelConfig,
        *,
        cores: int,
        default_max_batch: int,
        max_queue: int = DEFAULT_MAX_QUEUE,
        models: Models | None = None,
    ) -> None:
        try:
            kind, backend_class = backend_for(config, folder)
            self._backend = backend_class(LoadContext(name, version, folder, config, cores, models))
            completed = type(config)()
            completed.CopyFrom(config)
            if not completed.HasField("ensemble_scheduling"):  # which has a platform and no backend
                completed.backend = kind
            completed.platform = completed.platform or backend_class.platform
            self._backend.amend(completed)
            completed = complete(completed, name, self._backend.signature, default_max_batch=default_max_batch)
            instances = self._backend.instances()
            ragged = ragged_of(completed)
            # Rows that are repeated are no rows to a ragged model, whose author knows of the company anyway.
            rows = self._backend.rows() if ragged is None else Rows(merge=not _goes_alone(completed))
            self._labels = read_labels(completed, folder.parent)
        except Exception as error:  # a backend may raise anything
            raise ConfigError(f"model {name!r} version {version} cannot be loaded: {first_line(error)}") from error
        self.config = with_instances(completed, [instance.gpu for instance in instances])
        self.spec = to_spec(self.config, version)
        self._outputs = tuple(tensor.name for tensor in self.spec.outputs)
        self._bfloats = {tensor.name: tensor.dtype for tensor in self.spec.outputs if tensor.dtype is DType.BF16}
        self._ragged = ragged.inputs if ragged is not None else frozenset()
        plan = Plan(self.spec, rows, _reshapes(completed.input), _reshapes(completed.output), ragged)
        policy = policy_of(completed, merge=rows.merge, default_max_queue=max_queue)
        self.merges = policy.max_rows > 1
        self._scheduler: RequestScheduler = self._backend.scheduler(self.spec) or Scheduler(plan, policy, instances)

    @property
    def instances(self) -> int:
        """Executions that run at the same time."""
        return self._scheduler.instances

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return self._scheduler.pending

    def statistics(self) -> ModelStatistics:
        """Return the counters since it was loaded."""
        return self._scheduler.statistics()

    def submit(
        self, request: InferRequest, *, inline: bool = True, observe: Callable[[Execution], None] | None = None
    ) -> Future[InferResponse]:
        """Take a request; see :meth:`sonic.server.scheduler.Scheduler.submit`, and its ``Job`` for `observe`.

        Raises
        ------
        InvalidRequest
            If it does not fit the model.
        Unavailable
            If the queue is full, or the model is being unloaded.
        """
        inputs, rows = check_request(request, self.spec)
        check_classes(request, self.spec)

        def respond(outputs: Mapping[str, np.ndarray]) -> InferResponse:
            if request.classes:
                batched = self.spec.max_batch_size > 0
                outputs = classify_outputs(outputs, request.classes, self._labels, batched=batched)
            return InferResponse(self.spec.name, self.spec.version, outputs, id=request.id, dtypes=self._bfloats)

        wanted = request.outputs or self._outputs
        job = Job(
            inputs,
            rows,
            wanted,
            respond,
            shape_key(inputs, self._ragged),
            request.timeout_s,
            id=request.id,
            parameters=request.parameters,
            priority=priority_of(request.parameters),
            observe=observe,
        )
        return self._scheduler.submit(job, inline=inline)

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended; False if that takes longer than `timeout_s` seconds."""
        return self._scheduler.drain(timeout_s)

    def close(self) -> None:
        """Take no more requests, end in Unavailable those that wait, and release the model."""
        if self._scheduler.close():
            self._backend.close()


def _reshapes(tensors: Iterable[ModelInput | ModelOutput]) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.reshape.shape) for tensor in tensors if tensor.HasField("reshape")}


def _goes_alone(config: ModelConfig) -> bool:
    return "merge" in config.parameters and config.parameters["merge"].string_value == "never"
