"""What several servers counted of a model, added up."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence


def add_up(rows: Sequence[ModelStatistics]) -> ModelStatistics:
    """Return the counters of one model on all of its servers together; there is at least one."""
    if len(rows) == 1:
        return rows[0]
    total: dict[str, Any] = {}
    for field in fields(ModelStatistics):
        values = [getattr(row, field.name) for row in rows]
        if isinstance(values[0], Duration):
            total[field.name] = _sum_durations(values)
        elif field.name == "batches":
            total[field.name] = _sum_batches([batch for batches in values for batch in batches])
        elif field.name == "last_inference_ms":
            total[field.name] = max(values)
        else:
            total[field.name] = values[0] if isinstance(values[0], str) else sum(values)
    return ModelStatistics(**total)


def _sum_batches(batches: Sequence[BatchStatistics]) -> tuple[BatchStatistics, ...]:
    sizes = sorted({batch.batch_size for batch in batches})
    alike = {size: [batch for batch in batches if batch.batch_size == size] for size in sizes}
    return tuple(
        BatchStatistics(
            size,
            _sum_durations([batch.compute_input for batch in alike[size]]),
            _sum_durations([batch.compute_infer for batch in alike[size]]),
            _sum_durations([batch.compute_output for batch in alike[size]]),
        )
        for size in sizes
    )


def _sum_durations(durations: Sequence[Duration]) -> Duration:
    return Duration(sum(d.count for d in durations), sum(d.total_ns for d in durations))
