"""One loaded version of a model: its backend, its scheduler, and what clients see of it."""

from __future__ import annotations

import copy
import logging
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, one_line
from sonic.limits import available_cores
from sonic.protocol.checksums import read_checksums
from sonic.protocol.digests import mismatches
from sonic.protocol.messages import Duration, InferResponse
from sonic.protocol.modelconfig import check_filename, to_spec
from sonic.protocol.parameters import SEQUENCE_ID, priority_of
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.server.backends.base import FUNCTION, LoadContext, backend_for
from sonic.server.backends.completion import complete, with_instances
from sonic.server.execution.classification import check_classes, classify_outputs, read_labels
from sonic.server.execution.instances import Reply, Rows
from sonic.server.execution.plan import Plan
from sonic.server.execution.ragged import ragged_of
from sonic.server.execution.validation import check_request, shape_key
from sonic.server.failures import is_interrupt
from sonic.server.models.cache import key_of
from sonic.server.models.warmup import warm_up
from sonic.server.scheduling.job import Job
from sonic.server.scheduling.pace import short_s_on
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE, policy_of
from sonic.server.scheduling.scheduler import Scheduler
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np

    from sonic.protocol.messages import InferRequest, ModelStatistics
    from sonic.protocol.proto.model_config_pb2 import ModelInput, ModelOutput
    from sonic.server.backends.base import Backend, Models, RequestScheduler
    from sonic.server.backends.services import Service
    from sonic.server.execution.plan import Execution
    from sonic.server.models.cache import Key, ResponseCache
    from sonic.server.scheduling.budget import Budget
    from sonic.server.scheduling.job import Inline

    Arrays = Mapping[str, np.ndarray]

log = logging.getLogger("sonic.server")


class ServedModel:
    """A model that takes requests.

    Attributes
    ----------
    config : ModelConfig
        Completed, with the instances that there are.
    spec : ModelSpec
    labels : mapping of str to sequence of str
        Of classes, by output.
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
    budget : Budget or None
        For the bytes of requests that wait; None: no bound.
    cache : ResponseCache or None
        Where results are kept if its configuration asks for it.
    models : Models or None
        The other models of the server, for one that is made of them.
    service : Service or None
        What is served, if it is a function and not a folder's.

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
        budget: Budget | None = None,
        cache: ResponseCache | None = None,
        models: Models | None = None,
        service: Service | None = None,
    ) -> None:
        self._backend: Backend | None = None
        context = LoadContext(name, version, folder, config, cores, models, service)
        try:
            self._load(context, default_max_batch, max_queue, budget)
        except BaseException as error:  # a backend may raise anything
            if self._backend is not None:
                self._backend.close()
            if is_interrupt(error):
                raise
            raise ConfigError(f"model {name!r} version {version} cannot be loaded: {one_line(error)}") from error
        caches = self.config.response_cache.enable and cache is not None and cache.enabled
        self._cache = cache if caches else None
        if self._cache is not None:
            self._cache.admit(self)
        self._misses = Duration()
        self._lock = threading.Lock()  # of the misses, and of who releases the backend

    def _load(self, context: LoadContext, default_max_batch: int, max_queue: int, budget: Budget | None) -> None:
        check_filename(context.config)
        _verify(context)
        wanted = ModelConfig(backend=FUNCTION) if context.service is not None else context.config
        kind, backend_class = backend_for(wanted, context.folder)
        self._backend = backend = backend_class(context)
        config = copy.deepcopy(context.config)
        if not config.HasField("ensemble_scheduling"):  # which has a platform and no backend
            config.backend = kind
        config.platform = config.platform or backend_class.platform
        backend.amend(config)
        config = complete(config, context.name, backend.signature, default_max_batch=default_max_batch)
        instances = backend.instances()
        ragged = ragged_of(config)
        # Rows that are repeated are no rows to a ragged model, whose author knows of the company anyway.
        rows = backend.rows() if ragged is None else Rows(merge=not _goes_alone(config))
        self.labels: Mapping[str, Sequence[str]] = {**backend.labels(), **read_labels(config, context.folder.parent)}
        self.config = with_instances(config, [instance.gpu for instance in instances])
        self.spec = to_spec(self.config, context.version)
        self._outputs = tuple(tensor.name for tensor in self.spec.outputs)
        self._bfloats = {tensor.name: tensor.dtype for tensor in self.spec.outputs if tensor.dtype is DType.BF16}
        self._ragged = ragged.inputs if ragged is not None else frozenset()
        plan = Plan(self.spec, rows, _reshapes(config.input), _reshapes(config.output), ragged)
        warm_up(config, context.folder.parent, plan, instances, partial(backend.scheduler, self.spec))
        policy = policy_of(config, merge=rows.merge, default_max_queue=max_queue)
        self.merges = policy.max_rows > 1
        steady = backend.steady and all(instance.gpu is None for instance in instances)
        short_s = short_s_on(available_cores()) if steady else 0.0
        self._scheduler: RequestScheduler = backend.scheduler(self.spec) or Scheduler(
            plan, policy, instances, short_s=short_s, budget=budget
        )

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
        return replace(self._scheduler.statistics(), cache_miss=self._misses)

    def failures(self) -> Mapping[str, int]:
        """Return how many requests failed since then, by reason in the words of Triton's metrics."""
        return self._scheduler.failures()

    def submit(
        self, request: InferRequest, *, inline: Inline = True, observe: Callable[[Execution], None] | None = None
    ) -> Future[InferResponse]:
        """Take a request: see :meth:`~sonic.server.scheduling.scheduler.Scheduler.submit`; for `observe`, its ``Job``.

        Raises
        ------
        InvalidRequest
            If it does not fit the model.
        Unavailable
            If the queue is full, or the model is being unloaded.
        """
        inputs, rows = check_request(request, self.spec)
        if request.classes:
            check_classes(request, self.spec)
        wanted = request.outputs or self._outputs

        def respond(reply: Reply) -> InferResponse:
            name, version = self.spec.name, self.spec.version
            return InferResponse(name, version, reply.outputs, request.id, reply.parameters, self._bfloats)

        job = Job(
            inputs,
            rows,
            wanted,
            respond,
            shape_key(inputs, self._ragged) if self.merges else None,
            request.timeout_s,
            id=request.id,
            parameters=request.parameters,
            priority=priority_of(request.parameters) if request.parameters else 0,
            observe=observe,
        )
        if self._cache is not None and SEQUENCE_ID not in request.parameters:
            job.arrived_s = start_s = time.monotonic()
            key = key_of(self, inputs, wanted, request.parameters, request.classes)
            if (reply := self._cache.get(key)) is not None:
                return self._scheduler.answer(job, reply)
            job.respond = partial(self._keep, self._cache, key, time.monotonic() - start_s, respond)
        if request.classes:
            job.respond = partial(self._classify, request.classes, job.respond)
            # In no event loop, which knows how long executions take, and nothing of how long it takes to sort outputs.
            inline = inline is True
        return self._scheduler.submit(job, inline=inline)

    def _classify(
        self, classes: Mapping[str, int], respond: Callable[[Reply], InferResponse], reply: Reply
    ) -> InferResponse:
        """Make the response to a request that wants classes."""
        outputs = classify_outputs(reply.outputs, classes, self.labels, batched=self.spec.max_batch_size > 0)
        return respond(Reply(outputs, reply.parameters))

    def _keep(
        self,
        cache: ResponseCache,
        key: Key,
        lookup_s: float,
        respond: Callable[[Reply], InferResponse],
        reply: Reply,
    ) -> InferResponse:
        """Make the response to a request that missed the cache, which keeps the reply if it can."""
        start_s = time.monotonic()
        try:
            cache.put(key, reply)
        except MemoryError:
            log.warning("model %r: there is no memory to keep a response", self.spec.name)
        with self._lock:
            took_ns = round((lookup_s + time.monotonic() - start_s) * 1e9)
            self._misses = Duration(self._misses.count + 1, self._misses.total_ns + took_ns)
        return respond(reply)

    def stop(self) -> None:
        """Take no more requests; those that were taken go on."""
        self._scheduler.stop()

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended; False if that takes longer than `timeout_s` seconds."""
        return self._scheduler.drain(timeout_s)

    def close(self) -> None:
        """Take no more requests, end in Unavailable those that wait, and release the model. Harmless when repeated.

        While an execution still runs, as one whose request has ended at its deadline, the model is released after it.
        """
        self._scheduler.close(self._release)
        if self._cache is not None:
            self._cache.drop(self)

    def _release(self) -> None:
        with self._lock:
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


def _verify(context: LoadContext) -> None:
    """Check the version's files against their checksums, as Triton's agent does: before anything is opened."""
    checksums = [each for each in read_checksums(context.config) if each.concerns(context.version)]
    for line in mismatches(context.folder.parent, checksums):
        raise ConfigError(line)


def _reshapes(tensors: Iterable[ModelInput | ModelOutput]) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.reshape.shape) for tensor in tensors if tensor.HasField("reshape")}


def _goes_alone(config: ModelConfig) -> bool:
    return "merge" in config.parameters and config.parameters["merge"].string_value == "never"
