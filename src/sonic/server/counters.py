"""What a model has done since it was loaded. Not thread-safe: its owner's lock guards it."""

from __future__ import annotations

from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics

_PARTS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)

_SUCCEEDED = ("success", "queue", "compute_input", "compute_infer", "compute_output")


class Counters:
    """Counts with Triton's meaning.

    ``success`` and ``fail`` count requests, each from its arrival to its end. ``queue`` and the ``compute`` parts count
    the successful requests, each with the whole duration of the execution that it was part of; so their averages
    are what a request experiences, and the time that the model was busy is ``compute_infer`` only where requests were
    not merged. Of executions themselves there is a line for every size of batch. Rows that an execution repeats for
    the sake of equal bits are not counted.

    A request whose result was in the cache is a success that waited and was not computed.
    """

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._inferences = 0
        self._executions = 0
        self._counts = dict.fromkeys(_PARTS, 0)
        self._total_ns = dict.fromkeys(self._counts, 0)
        self._batches: dict[int, list[int]] = {}  # executions and their three parts, by rows
        self._last_ms = 0

    def executed(self, *, rows: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count one call of the backend that gave a result."""
        self._executions += 1
        totals = self._batches.setdefault(rows, [0, 0, 0, 0])
        for position, value in enumerate((1, input_ns, infer_ns, output_ns)):
            totals[position] += value

    def succeeded(
        self, *, rows: int, total_ns: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int, now_ms: int
    ) -> None:
        """Count a request that ended in a response."""
        self._inferences += rows
        self._last_ms = now_ms
        for what, duration_ns in zip(_SUCCEEDED, (total_ns, queue_ns, input_ns, infer_ns, output_ns), strict=True):
            self._counts[what] += 1
            self._total_ns[what] += duration_ns

    def failed(self, *, total_ns: int, now_ms: int) -> None:
        """Count a request that ended in an error after it had been accepted."""
        self._last_ms = now_ms
        self._add("fail", total_ns)

    def hit(self, *, total_ns: int, now_ms: int) -> None:
        """Count a request that ended in a response of the cache."""
        self._last_ms = now_ms
        self._add("success", total_ns)
        self._add("queue", 0)
        self._add("cache_hit", total_ns)

    def missed(self, *, total_ns: int) -> None:
        """Count a request whose response was not in the cache, with the time that looking it up and keeping it took."""
        self._add("cache_miss", total_ns)

    def snapshot(self) -> ModelStatistics:
        """Return the counts as they stand."""
        parts = {what: Duration(self._counts[what], self._total_ns[what]) for what in self._counts}
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
            **parts,
        )

    def _add(self, what: str, duration_ns: int) -> None:
        self._counts[what] += 1
        self._total_ns[what] += duration_ns
