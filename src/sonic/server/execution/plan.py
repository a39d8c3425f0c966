"""What an execution needs to know of its model, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.server.execution.instances import Reply, Rows
    from sonic.server.execution.ragged import Ragged
    from sonic.specs import ModelSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """How requests of one model become executions.

    Parameters
    ----------
    spec : ModelSpec
        As clients see it.
    rows : Rows
        As the backend says.
    reshape_inputs, reshape_outputs : mapping of str to tuple of int
        Shapes without the batch dimension that the model has where clients see another, by tensor.
    ragged : Ragged or None
        Inputs and outputs that do not have a row for each of the batch.

    Attributes
    ----------
    batches : bool
        Whether the first dimension is a batch.
    outputs : mapping of str to TensorSpec
        As clients see them, by name.
    """

    spec: ModelSpec
    rows: Rows
    reshape_inputs: Mapping[str, tuple[int, ...]]
    reshape_outputs: Mapping[str, tuple[int, ...]]
    ragged: Ragged | None = None
    batches: bool = field(init=False)
    outputs: Mapping[str, TensorSpec] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", self.spec.max_batch_size > 0)
        object.__setattr__(self, "outputs", {tensor.name: tensor for tensor in self.spec.outputs})

    def padded(self, rows: int) -> int:
        """Rows that a request takes up in a batch, repeated ones included."""
        return -(-rows // self.rows.multiple) * self.rows.multiple


class Execution(msgspec.Struct, frozen=True, eq=False):
    """What came out, by request in the order given, and how long each part took."""

    replies: Sequence[Reply]
    input_ns: int
    infer_ns: int
    output_ns: int
