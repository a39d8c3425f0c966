"""What a model has done since it was loaded. Not thread-safe: its owner's lock guards it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import Cancelled, DeadlineExceeded, Unavailable
from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics

if TYPE_CHECKING:
    from collections.abc import Mapping

REJECTED, CANCELED, BACKEND = "REJECTED", "CANCELED", "BACKEND"
"""Why a request failed, as Triton's metrics have it: it waited in vain, its client gave it up, or the model failed."""
REASONS = (REJECTED, CANCELED, BACKEND, "OTHER")
"""What those name; the last never comes here."""


def reason_of(error: BaseException) -> str:
    """Return which of the reasons an error is."""
    if isinstance(error, Unavailable | DeadlineExceeded):
        return REJECTED
    return CANCELED if isinstance(error, Cancelled) else BACKEND


class Counters:
    """Counts with Triton's meaning.

    ``success`` and ``fail`` count requests, each from its arrival to its end. ``queue`` and the ``compute`` parts count
    the successful requests, each with the whole duration of the execution that it was part of; so their averages
    are what a request experiences, and the time that the model was busy is ``compute_infer`` only where requests were
    not merged. Of executions themselves there is a line for every size of batch. Rows that an execution repeats for
    the sake of equal bits are not counted.

    A request whose result was in the cache is a success that waited and was not computed. Misses of the cache are
    counted by the model, which looks them up.
    """

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._inferences = 0
        self._executions = 0
        # Successes: those that were computed, and those that were not. Their durations in nanoseconds, as all below.
        self._computed = self._hits = 0
        self._failed = dict.fromkeys(REASONS, 0)
        self._success_ns = self._queue_ns = self._input_ns = self._infer_ns = self._output_ns = 0
        self._fail_ns = self._hit_ns = 0
        self._batches: dict[int, list[int]] = {}  # executions and their three parts, by rows
        self._last_ms = 0

    def executed(self, *, rows: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count one call of the backend that gave a result."""
        self._executions += 1
        totals = self._batches.get(rows)
        if totals is None:
            totals = self._batches[rows] = [0, 0, 0, 0]
        totals[0] += 1
        totals[1] += input_ns
        totals[2] += infer_ns
        totals[3] += output_ns

    def succeeded(
        self, *, rows: int, total_ns: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int, now_ms: int
    ) -> None:
        """Count a request that ended in a response."""
        self._last_ms = now_ms
        self._inferences += rows
        self._computed += 1
        self._success_ns += total_ns
        self._queue_ns += queue_ns
        self._input_ns += input_ns
        self._infer_ns += infer_ns
        self._output_ns += output_ns

    def failed(self, reason: str, *, total_ns: int, now_ms: int) -> None:
        """Count a request that ended in an error after it had been accepted."""
        self._last_ms = now_ms
        self._failed[reason] += 1
        self._fail_ns += total_ns

    def hit(self, *, total_ns: int, lookup_ns: int, now_ms: int) -> None:
        """Count a request that ended in a response of the cache, after waiting for its turn where order is kept."""
        self._last_ms = now_ms
        self._hits += 1
        self._success_ns += total_ns
        self._hit_ns += lookup_ns

    def failures(self) -> Mapping[str, int]:
        """Return how many requests failed, by each of the reasons there are."""
        return dict(self._failed)

    def snapshot(self) -> ModelStatistics:
        """Return the counts as they stand."""
        successes = self._computed + self._hits
        return ModelStatistics(
            self._name,
            self._version,
            inference_count=self._inferences,
            execution_count=self._executions,
            last_inference_ms=self._last_ms,
            batches=tuple(
                BatchStatistics(rows, *(Duration(count, total_ns) for total_ns in parts_ns))
                for rows, (count, *parts_ns) in sorted(self._batches.items())
            ),
            success=Duration(successes, self._success_ns),
            fail=Duration(sum(self._failed.values()), self._fail_ns),
            queue=Duration(successes, self._queue_ns),
            compute_input=Duration(self._computed, self._input_ns),
            compute_infer=Duration(self._computed, self._infer_ns),
            compute_output=Duration(self._computed, self._output_ns),
            cache_hit=Duration(self._hits, self._hit_ns),
        )
