"""Sees the requests of an ensemble through its steps.

A step begins as soon as its inputs are there, whatever other steps do. No thread waits: whoever finishes a step begins
those that it was the last to hold up. In the thread that brought the request one step after the other is executed if
instances are idle and that is allowed; steps that can run beside it go to the threads of their models. The time that
a request has left goes to every step. The first step that fails ends the request, and what has not begun of it is
given up.
"""

from __future__ import annotations

import copy
import threading
import time
import weakref
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, ModelFailed, Unavailable, one_line
from sonic.protocol.messages import InferRequest
from sonic.server.backends.ensemble.graph import adapt
from sonic.server.execution.instances import Reply
from sonic.server.execution.plan import Execution
from sonic.server.failures import failed, without_frames
from sonic.server.scheduling.counters import Counters
from sonic.server.scheduling.job import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    import numpy as np

    from sonic.protocol.messages import InferResponse, ModelStatistics
    from sonic.server.backends.base import Models
    from sonic.server.backends.ensemble.graph import Graph, Step
    from sonic.server.scheduling.job import Inline, Job
    from sonic.specs import ModelSpec


class _Run:
    """One request on its way through the steps; the scheduler's lock guards it."""

    __slots__ = ("__weakref__", "ended", "futures", "job", "need", "parts", "started_s", "tensors", "waits")

    def __init__(self, job: Job, graph: Graph, need: Mapping[int, tuple[str, ...]], now_s: float) -> None:
        self.job = job
        self.need = need
        self.started_s = now_s
        self.tensors: dict[str, np.ndarray] = dict(job.inputs)
        self.waits = {
            number: {graph.makers[name] for name in graph.steps[number].inputs.values() if name in graph.makers}
            for number in need
        }  # the steps that have not ended, and those that each of them waits for
        self.futures: set[Future[InferResponse]] = set()
        self.parts: list[tuple[int, int, int]] = []  # what the steps' executions took
        self.ended = False


class EnsembleScheduler:
    """Runs the requests of one version of an ensemble. Thread-safe.

    Parameters
    ----------
    spec : ModelSpec
        The ensemble's.
    graph : Graph
        Checked.
    steps : sequence of ModelSpec
        Of the steps' models.
    models : Models
        Where the steps' requests go.
    """

    def __init__(self, spec: ModelSpec, graph: Graph, steps: Sequence[ModelSpec], models: Models) -> None:
        self._spec = spec
        self._label = f"model {spec.name!r}"
        self._graph = graph
        self._steps = tuple(steps)
        self._models = models
        self._counters = Counters(spec.name, spec.version)
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._runs: set[_Run] = set()
        self._stopped = False

    @property
    def instances(self) -> int:
        """Executions of its own: none."""
        return 0

    @property
    def pending(self) -> int:
        """Requests that wait: none does here, they do for the models of the steps."""
        return 0

    def statistics(self) -> ModelStatistics:
        """Return the counters.

        As in Triton a request is one execution, and its compute times are the sums of its steps'; what it waited in
        their queues is in its whole duration alone.
        """
        with self._lock:
            return self._counters.snapshot()

    def failures(self) -> Mapping[str, int]:
        """Return how many requests failed, by reason."""
        with self._lock:
            return self._counters.failures()

    def submit(self, job: Job, *, inline: Inline = True) -> Future[InferResponse]:
        """Take a request; see :meth:`sonic.server.scheduling.scheduler.Scheduler.submit`.

        Raises
        ------
        Unavailable
            If the ensemble is being unloaded.
        """
        need = self._graph.need(job.wanted)
        with self._lock:
            if self._stopped:
                raise Unavailable(f"{self._label} is being unloaded")
            job.arrived_s = now_s = time.monotonic()
            if job.timeout_s is not None:
                job.deadline_s = now_s + job.timeout_s
            run = _Run(job, self._graph, need, now_s)
            self._runs.add(run)
            ready = self._ready(run)
        # Not the run itself: with its arrays it would live as long as the future.
        job.future.add_done_callback(partial(self._cancelled, weakref.ref(run)))
        self._drive(run, ready, inline=inline)
        return job.future

    def answer(self, job: Job, reply: Reply) -> Future[InferResponse]:
        """Take a request whose reply is there already; see :meth:`sonic.server.scheduling.scheduler.Scheduler.answer`.

        Raises
        ------
        Unavailable
            If the ensemble is being unloaded.
        """
        result = Result.of_reply(job, reply, time.monotonic())
        with self._lock:
            if self._stopped:
                raise Unavailable(f"{self._label} is being unloaded")
            job.future.set_running_or_notify_cancel()
            job.count(result, self._counters, time.monotonic())
        job.deliver(result)
        return job.future

    def stop(self) -> None:
        """Take no more requests; those that were taken go on."""
        with self._lock:
            self._stopped = True

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended; False if that takes longer than `timeout_s` seconds."""
        with self._lock:
            return self._quiet.wait_for(lambda: not self._runs, timeout_s)

    def close(self, released: Callable[[], object] = bool) -> None:
        """Take no more requests, and end those that have not: in Unavailable."""
        self.stop()
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            self._fail(run, Unavailable(f"{self._label} is being unloaded, the request did not end in time"))
        released()

    # ---- one request ------------------------------------------------------------------------------------------------

    def _drive(
        self, run: _Run, ready: list[Step], ended: Sequence[tuple[Step, Future[InferResponse]]] = (), *, inline: Inline
    ) -> None:
        """Begin steps, and those that become ready by them and by others that have ended, until all go on elsewhere."""
        try:
            for step, future in ended:
                ready += self._finish(run, step, future)
            while ready:
                *others, last = ready
                begun = [(step, self._begin(run, step, inline=False)) for step in others]
                begun.append((last, self._begin(run, last, inline=inline)))
                ready = []
                for step, future in begun:
                    if future.done():
                        ready += self._finish(run, step, future)
                    else:
                        future.add_done_callback(partial(self._continue, run, step))
            with self._lock:
                complete = not run.waits and not run.ended
            if complete:
                self._succeed(run)
        except Exception as error:  # noqa: BLE001 - it may run in a callback, which nobody hears of
            self._fail(run, ModelFailed(f"{self._label} failed: {one_line(error)}"))
        except BaseException:  # as Ctrl-C in the thread that brought the request
            self._fail(run, Cancelled(f"{self._label}: the thread that executed the request was interrupted"))
            raise

    def _continue(self, run: _Run, step: Step, future: Future[InferResponse]) -> None:
        self._drive(run, [], [(step, future)], inline=False)

    def _begin(self, run: _Run, step: Step, *, inline: Inline) -> Future[InferResponse]:
        """Hand a step to its model."""
        job, spec = run.job, self._steps[step.number]
        with self._lock:
            if run.ended:
                return failed(Cancelled(f"{self._label}: the request has ended"))
            inputs = {
                name: adapt(run.tensors[tensor], spec.input(name), batches=spec.max_batch_size > 0)
                for name, tensor in step.inputs.items()
                if tensor in run.tensors  # optional ones may be missing
            }
        request = InferRequest(
            step.model,
            inputs,
            version=step.version,
            id=job.id,
            outputs=run.need[step.number],
            parameters=job.parameters,
            timeout_s=None if job.deadline_s == inf else max(0.0, job.deadline_s - time.monotonic()),
        )
        try:
            future = self._models.submit(request, inline=inline, observe=partial(_note, run.parts))
        except InferenceError as error:
            return failed(error)
        with self._lock:
            run.futures.add(future)
            over = run.ended
        if over:
            future.cancel()
        return future

    def _finish(self, run: _Run, step: Step, future: Future[InferResponse]) -> list[Step]:
        """Take what a step made, and return the steps that can begin now."""
        error = Cancelled("it was cancelled") if future.cancelled() else future.exception()
        if error is not None:
            self._fail(run, self._named(run, step, error))
            return []
        made = future.result().outputs
        with self._lock:
            run.futures.discard(future)
            if run.ended:
                return []
            for name in run.need[step.number]:
                run.tensors[step.outputs[name]] = made[name]
            del run.waits[step.number]
            for others in run.waits.values():
                others.discard(step.number)
            return self._ready(run)

    def _ready(self, run: _Run) -> list[Step]:
        """Return the steps that wait for nothing, once each; the lock is held."""
        ready = [number for number, others in run.waits.items() if not others]
        for number in ready:
            run.waits[number] = {number}  # until it has ended
        return [self._graph.steps[number] for number in ready]

    def _succeed(self, run: _Run) -> None:
        job = run.job
        with self._lock:
            if run.ended:  # another thread, which ended a step at the same time, was first
                return
            outputs = {name: run.tensors[name] for name in job.wanted}
        try:
            outputs = {name: self._checked(array, name, job.rows) for name, array in outputs.items()}
        except ModelFailed as error:
            self._fail(run, without_frames(error))
            return
        execution = Execution([Reply(outputs)], *(sum(part) for part in zip((0, 0, 0), *run.parts, strict=True)))
        result = Result([job], run.started_s, execution)
        with self._lock:
            if run.ended:
                return
            run.ended = True
            lives = job.future.set_running_or_notify_cancel()
            self._count(run, result if lives else None)
        try:
            if lives:
                job.deliver(result)
        finally:
            self._leave(run)

    def _fail(self, run: _Run, error: InferenceError) -> None:
        with self._lock:
            if run.ended:
                return
            run.ended = True
            self._count(run, Result([run.job], run.started_s, error))
            futures = list(run.futures)
        try:
            run.job.fail(error)
        finally:
            self._leave(run)
        for future in futures:
            future.cancel()

    def _cancelled(self, reference: weakref.ref[_Run], future: Future[InferResponse]) -> None:
        run = reference()
        if run is not None and future.cancelled():
            self._fail(run, Cancelled(f"{self._label}: the request was cancelled"))

    def _leave(self, run: _Run) -> None:
        with self._lock:
            run.futures.clear()
            run.tensors.clear()
            self._runs.discard(run)
            if not self._runs:
                self._quiet.notify_all()

    def _count(self, run: _Run, result: Result | None) -> None:
        """Count a request that ends; the lock is held."""
        run.job.count(result, self._counters, time.monotonic())
        if result is not None:
            result.count(self._counters)

    def _checked(self, array: np.ndarray, name: str, rows: int) -> np.ndarray:
        spec, batches = self._spec.output(name), self._spec.max_batch_size > 0
        array = adapt(array, spec, batches=batches)
        if not spec.accepts(array.shape) or (batches and array.shape[0] != rows):
            expected = [rows, *spec.shape[1:]] if batches else list(spec.shape)
            raise ModelFailed(f"{self._label}, output {name!r}: expected shape {expected}, given {list(array.shape)}")
        return array

    def _named(self, run: _Run, step: Step, error: BaseException) -> InferenceError:
        """Return the error that a request ends in when a step ended in one: of the same kind, with the step."""
        if isinstance(error, DeadlineExceeded) and run.job.timeout_s is not None:
            text = f"{self._label}, {step.label}: the deadline of {run.job.timeout_s:g} s came before the result"
            return DeadlineExceeded(text)
        # What clients of Triton know it by, as the words after it.
        text = f"in ensemble {self._spec.name!r}, {one_line(error)}: {step.label}"
        named = copy.copy(error) if isinstance(error, InferenceError) else ModelFailed()
        named.args = (text,)
        return named


def _note(parts: list[tuple[int, int, int]], execution: Execution) -> None:
    parts.append((execution.input_ns, execution.infer_ns, execution.output_ns))
