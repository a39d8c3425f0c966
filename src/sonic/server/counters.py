"""What a model has done since it was loaded. Not thread-safe: its owner's lock guards it."""

from __future__ import annotations

from sonic.protocol.messages import Duration, ModelStatistics

_PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


class Counters:
    """Counts with Triton's meaning.

    ``success`` and ``fail`` count requests, each from its arrival to its end. ``queue`` and the ``compute`` parts count
    the successful requests, each with the whole duration of the execution that it was part of; so their averages
    are what a request experiences, and the time that the model was busy is ``compute_infer`` only where requests were
    not merged. Rows that an execution repeats for the sake of equal bits are not counted.
    """

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._inferences = 0
        self._executions = 0
        self._counts = dict.fromkeys(_PARTS, 0)
        self._total_ns = dict.fromkeys(self._counts, 0)
        self._last_ms = 0

    def executed(self) -> None:
        """Count one call of the backend that gave a result."""
        self._executions += 1

    def succeeded(
        self, *, rows: int, total_ns: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int, now_ms: int
    ) -> None:
        """Count a request that ended in a response."""
        self._inferences += rows
        self._last_ms = now_ms
        for what, duration_ns in (
            ("success", total_ns),
            ("queue", queue_ns),
            ("compute_input", input_ns),
            ("compute_infer", infer_ns),
            ("compute_output", output_ns),
        ):
            self._counts[what] += 1
            self._total_ns[what] += duration_ns

    def failed(self, *, total_ns: int, now_ms: int) -> None:
        """Count a request that ended in an error after it had been accepted."""
        self._last_ms = now_ms
        self._counts["fail"] += 1
        self._total_ns["fail"] += total_ns

    def snapshot(self) -> ModelStatistics:
        """Return the counts as they stand."""
        parts = {what: Duration(self._counts[what], self._total_ns[what]) for what in self._counts}
        return ModelStatistics(
            self._name,
            self._version,
            inference_count=self._inferences,
            execution_count=self._executions,
            last_inference_ms=self._last_ms,
            **parts,
        )
