"""Metrics in Prometheus' text format -> counters of models -> rates between two scrapes. Pure.

Series are summed over labels other than ``model`` and ``version``, such as Triton's ``reason`` of a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from sonic.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNTERS = {
    "nv_inference_request_success": "success",
    "nv_inference_request_failure": "failure",
    "nv_inference_count": "rows",
    "nv_inference_exec_count": "executions",
    "nv_inference_request_duration_us": "request_us",
    "nv_inference_queue_duration_us": "queue_us",
    "nv_inference_compute_input_duration_us": "compute_us",
    "nv_inference_compute_infer_duration_us": "compute_us",
    "nv_inference_compute_output_duration_us": "compute_us",
}
_PENDING = "nv_inference_pending_request_count"
_PROCESS_CPU = "process_cpu_seconds"


@dataclass(slots=True)
class Counters:
    """What a model version has done since it was loaded, and how many requests wait for it now."""

    success: float = 0.0
    failure: float = 0.0
    rows: float = 0.0
    executions: float = 0.0
    request_us: float = 0.0
    queue_us: float = 0.0
    compute_us: float = 0.0
    pending: float = 0.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of a server.

    Attributes
    ----------
    models : mapping of (str, str) to Counters
        By name and version.
    cpu_utilization : float or None
        From 0 to 1; None if it is not told.
    memory_bytes : tuple of float or None
        Used, and in all.
    gpu_utilization : mapping of str to float
        From 0 to 1, by the GPU's uuid; without what stands for a host that has none.
    process_cpu_s : float or None
        Processor time of the server's process so far; None if it is not told.
    """

    models: Mapping[tuple[str, str], Counters]
    cpu_utilization: float | None = None
    memory_bytes: tuple[float, float] | None = None
    gpu_utilization: Mapping[str, float] | None = None
    process_cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRates:
    """What a model version did between two scrapes. What is a mean over nothing is None."""

    name: str
    version: str
    requests_per_s: float
    rows_per_s: float
    failures_per_s: float
    batch: float | None
    """Rows an execution."""
    latency_ms: float | None
    """From a request's arrival in the server to its response."""
    queue_ms: float | None
    """Of it, time spent waiting."""
    compute_ms: float | None
    pending: float
    """Requests that wait at the end of the interval."""


def read(text: str) -> Scrape:
    """Read an answer.

    Raises
    ------
    DataError
        If it is not in the format, or has no metrics of models.
    """
    models: dict[tuple[str, str], Counters] = {}
    single: dict[str, float] = {}
    gpus: dict[str, float] = {}
    known = False
    try:
        for family in text_string_to_metric_families(text):
            known = known or family.name.startswith("nv_inference_")
            for sample in family.samples:
                name = sample.name.removesuffix("_total")  # the parser adds it to counters
                labels = sample.labels
                if name in _COUNTERS or name == _PENDING:
                    row = models.setdefault((labels.get("model", ""), labels.get("version", "")), Counters())
                    field = _COUNTERS.get(name, "pending")
                    setattr(row, field, getattr(row, field) + sample.value)
                elif not isfinite(sample.value):  # what an exporter writes of a gauge that it could not read
                    continue
                elif name == "nv_gpu_utilization" and not labels.get("gpu_uuid", "").startswith("CPU-"):
                    gpus[labels.get("gpu_uuid", "")] = sample.value
                elif name.startswith("nv_cpu_") or name == _PROCESS_CPU:
                    single[name] = sample.value
    except ValueError as error:
        raise DataError(f"the answer is not in Prometheus' format: {str(error) or 'it cannot be read'}") from error
    if not known:
        raise DataError("the answer has no metrics of models: expected nv_inference_count and the like")
    memory = (single.get("nv_cpu_memory_used_bytes"), single.get("nv_cpu_memory_total_bytes"))
    return Scrape(
        models,
        single.get("nv_cpu_utilization"),
        None if memory[0] is None or memory[1] is None else (memory[0], memory[1]),
        gpus,
        single.get(_PROCESS_CPU),
    )


def rates(before: Scrape, after: Scrape, interval_s: float) -> tuple[ModelRates, ...]:
    """Return what happened in between, a row a model version, by name and version.

    A model that was not there before counts from zero, and so does one whose counters fell: it was loaded again.

    Parameters
    ----------
    before, after : Scrape
    interval_s : float
        Time between the two, above zero.
    """
    rows = []
    for name, version in sorted(after.models, key=lambda key: (key[0], len(key[1]), key[1])):
        change = _change(before.models.get((name, version), Counters()), after.models[name, version])
        rows.append(
            ModelRates(
                name,
                version,
                requests_per_s=change.success / interval_s,
                rows_per_s=change.rows / interval_s,
                failures_per_s=change.failure / interval_s,
                batch=_mean(change.rows, change.executions),
                latency_ms=_mean(change.request_us / 1000, change.success),
                queue_ms=_mean(change.queue_us / 1000, change.success),
                compute_ms=_mean(change.compute_us / 1000, change.success),
                pending=after.models[name, version].pending,
            )
        )
    return tuple(rows)


def _change(before: Counters, after: Counters) -> Counters:
    names = [field.name for field in fields(Counters) if field.name != "pending"]
    if any(getattr(after, name) < getattr(before, name) for name in names):
        return after
    return Counters(**{name: getattr(after, name) - getattr(before, name) for name in names})


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
