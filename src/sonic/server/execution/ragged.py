"""Requests of different lengths in one execution: Triton's ragged batching.

An input with ``allow_ragged_batch`` reaches the model flat: the elements of all requests, one request after the other.
What tells the model where each begins are inputs that the server makes (``batch_input``); what it gives back for every
element is cut again with the shape of an input (``batch_output``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import dtype_of
from sonic.protocol.proto.model_config_pb2 import BatchInput, BatchOutput
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.protocol.proto.model_config_pb2 import ModelConfig

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class MadeInput:
    """An input that the server makes from the requests of a batch.

    Parameters
    ----------
    name : str
        The model's.
    kind : int
        One of ``BatchInput.Kind``.
    dtype : DType
    source : str
        Input of the requests whose sizes it holds.
    """

    name: str
    kind: int
    dtype: DType
    source: str

    @property
    def rank(self) -> int:
        """Dimensions that it has."""
        return 2 if self.kind == BatchInput.BATCH_ITEM_SHAPE else 1

    def make(self, requests: Sequence[Arrays]) -> np.ndarray:
        """Return it for the requests of a batch, in order.

        The counts have one number for each request, the shapes one line for each row: shapes without the batch
        dimension.
        """
        arrays = [request[self.source] for request in requests]
        if self.kind == BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE:
            return np.zeros(max(array.size for array in arrays), self.dtype.numpy)  # its length is what it says
        values: Sequence[int] | Sequence[Sequence[int]]
        if self.kind == BatchInput.BATCH_ELEMENT_COUNT:
            values = [array.size for array in arrays]
        elif self.kind == BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT:
            values = list(accumulate(array.size for array in arrays))
        elif self.kind == BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            values = list(accumulate((array.size for array in arrays), initial=0))
        else:
            values = [array.shape[1:] for array in arrays for _ in range(array.shape[0])]
            if self.kind == BatchInput.BATCH_ITEM_SHAPE_FLATTEN:
                values = [size for shape in values for size in shape]
        return np.array(values, self.dtype.numpy)


@dataclass(frozen=True, slots=True)
class Ragged:
    """What of a model's inputs and outputs does not have one row for each of the batch.

    Parameters
    ----------
    inputs : frozenset of str
        Those that are flat.
    made : tuple of MadeInput
    scattered : mapping of str to (str, tuple of int)
        Flat outputs: the input whose shape decides how each is cut, and its own shape, the batch dimension included;
        where this is -1, it is the input's.
    """

    inputs: frozenset[str]
    made: tuple[MadeInput, ...]
    scattered: Mapping[str, tuple[str, tuple[int, ...]]]

    def flatten(self, requests: Sequence[Arrays]) -> dict[str, np.ndarray]:
        """Return the flat inputs and those that are made; copies, unless a request goes alone."""
        flat: dict[str, np.ndarray] = {}
        for name in requests[0]:
            if name in self.inputs:
                parts = [request[name].reshape(-1) for request in requests]
                flat[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return {**flat, **self.make(requests)}

    def make(self, requests: Sequence[Arrays]) -> dict[str, np.ndarray]:
        """Return the inputs that are made of the requests."""
        return {made.name: made.make(requests) for made in self.made if made.source in requests[0]}

    def scatter(self, output: str, array: np.ndarray, requests: Sequence[Arrays]) -> list[np.ndarray]:
        """Cut an output into the parts of the requests, as views.

        Raises
        ------
        ValueError
            If they do not make up the whole.
        """
        source, dims = self.scattered[output]
        shapes = [
            tuple(given if dim < 0 else dim for dim, given in zip(dims, request[source].shape, strict=True))
            for request in requests
        ]
        ends = list(accumulate(map(prod, shapes)))
        if ends[-1] != array.size:
            raise ValueError(f"{ends[-1]} elements as the requests have them")
        parts = np.split(array.reshape(-1), ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def ragged_of(config: ModelConfig) -> Ragged | None:
    """Return what a configuration asks for; None if every input and output has one row for each of the batch.

    Raises
    ------
    ConfigError
        If it makes no sense.
    """
    inputs = {tensor.name: tensor for tensor in config.input}
    outputs = {tensor.name: tensor for tensor in config.output}
    flat = frozenset(name for name, tensor in inputs.items() if tensor.allow_ragged_batch)
    if not flat and not config.batch_input and not config.batch_output:
        return None
    if config.max_batch_size < 1:
        raise ConfigError("allow_ragged_batch, batch_input and batch_output need a max_batch_size of 1 or more")
    made: list[MadeInput] = []
    for entry in config.batch_input:
        label = f"batch_input {BatchInput.Kind.Name(entry.kind)}"
        _check_lengths(label, entry)
        (name,), (source,) = entry.target_name, entry.source_input
        dtype = dtype_of(entry.data_type)
        if dtype not in (DType.INT32, DType.FP32):
            raise ConfigError(f"{label} is TYPE_INT32 or TYPE_FP32, given TYPE_{dtype.name}")
        if source not in inputs:
            raise ConfigError(f"{label}: no input {source!r}, there is {', '.join(inputs)}")
        if name in inputs or any(name == other.name for other in made):
            raise ConfigError(f"{label}: there is already an input {name!r}")
        made.append(MadeInput(name, entry.kind, dtype, source))
    scattered: dict[str, tuple[str, tuple[int, ...]]] = {}
    for entry_out in config.batch_output:
        label = f"batch_output {BatchOutput.Kind.Name(entry_out.kind)}"
        _check_lengths(label, entry_out)
        (name,), (source,) = entry_out.target_name, entry_out.source_input
        if source not in inputs or name not in outputs:
            raise ConfigError(f"{label}: expected an output and an input, given {name!r} and {source!r}")
        if name in scattered:
            raise ConfigError(f"{label}: output {name!r} is there twice")
        dims = (-1, *outputs[name].dims)
        if len(dims) != len(inputs[source].dims) + 1:
            raise ConfigError(f"{label}: output {name!r} and input {source!r} have unlike numbers of dimensions")
        scattered[name] = source, dims
    return Ragged(flat, tuple(made), scattered)


def _check_lengths(label: str, entry: BatchInput | BatchOutput) -> None:
    for what, names in (("target_name", entry.target_name), ("source_input", entry.source_input)):
        if len(names) != 1:
            raise ConfigError(f"{label} has one {what}, given {len(names)}")
