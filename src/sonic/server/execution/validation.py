"""A request against the model it is for, before anything is done with it.

What is wrong is said in words by which clients written for Triton know it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest, shown
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec

_MOST_NAMES = 64
"""In a message: a request can have a million."""


def check_request(request: InferRequest, spec: ModelSpec) -> tuple[dict[str, np.ndarray], int]:
    """Check inputs and wanted outputs of a request.

    Parameters
    ----------
    request : InferRequest
    spec : ModelSpec

    Returns
    -------
    inputs : dict of str to ndarray
        In the model's order.
    rows : int
        Rows of the batch; 1 if the model has no batch dimension.

    Raises
    ------
    InvalidRequest
        With model, tensor, what was expected and what was given.
    """
    given = request.inputs
    if len(given) != len(spec.inputs):
        _check_names(given, spec)
    for name in request.outputs:
        spec.output(name)
        if request.outputs.count(name) > 1:
            raise InvalidRequest(f"Duplicate output name {name!r} is not allowed in a request to model {spec.name!r}")
    inputs: dict[str, np.ndarray] = {}
    rows: int | None = None
    for tensor in spec.inputs:
        array = given.get(tensor.name)
        if array is None:
            _check_names(given, spec)
            continue
        if array.dtype != tensor.dtype.numpy:
            array = _native(array)
        if array.dtype != tensor.dtype.numpy or request.dtypes.get(tensor.name, tensor.dtype) is not tensor.dtype:
            given_name = _dtype_name(request, tensor.name)
            raise InvalidRequest(
                f"inference input {tensor.name!r} data-type is {given_name!r}, but model {spec.name!r} expects "
                f"{tensor.dtype.name!r}"
            )
        if not tensor.accepts(array.shape):
            raise InvalidRequest(
                f"unexpected shape for input {tensor.name!r} for model {spec.name!r}. "
                f"Expected {_dims(tensor.shape)}, got {_dims(array.shape)}"
            )
        if spec.max_batch_size:
            if not 0 < array.shape[0] <= spec.max_batch_size:
                raise InvalidRequest(
                    f"inference request batch-size must be <= {spec.max_batch_size} for {spec.name!r}, and 1 or more: "
                    f"input {tensor.name!r} has shape {_dims(array.shape)}"
                )
            if rows is not None and array.shape[0] != rows:
                raise InvalidRequest(
                    f"input {tensor.name!r} batch size does not match other inputs for {spec.name!r}: "
                    f"expected {rows} rows, got {_dims(array.shape)}"
                )
            rows = array.shape[0]
        inputs[tensor.name] = array
    return inputs, rows or 1


def shape_key(inputs: Mapping[str, np.ndarray], ragged: Collection[str] = ()) -> Hashable:
    """Whatever must be equal for requests to share a batch: names, and shapes without rows.

    Datatypes need no look: they are the model's. Of inputs in `ragged` the shapes may differ.
    """
    if ragged:
        return tuple([(name, None if name in ragged else array.shape[1:]) for name, array in inputs.items()])
    return tuple([(name, array.shape[1:]) for name, array in inputs.items()])


def _check_names(given: Mapping[str, np.ndarray], spec: ModelSpec) -> None:
    needed = [tensor.name for tensor in spec.inputs if not tensor.optional]
    least, most = len(needed), len(spec.inputs)
    if least <= len(given) <= most:
        for name in given:
            spec.input(name)
    missing = [name for name in needed if name not in given]
    if missing or len(given) > most:
        count = f"{most} inputs" if least == most else f"number of inputs between {least} and {most}"
        there = _names(tensor.name for tensor in spec.inputs)
        raise InvalidRequest(
            f"expected {count} but got {len(given)} inputs for model {spec.name!r}. Got input(s) {_names(given)}, but "
            + (
                f"missing required input(s) {_names(missing)}. Please provide all required input(s)."
                if missing
                else f"the model has {there}"
            )
        )


def _native(array: np.ndarray) -> np.ndarray:
    """Turn the byte order of files and numpy's own strings, which an in-process caller may bring, into ours."""
    if array.dtype.kind in "SU":
        return array.astype(np.object_)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _dtype_name(request: InferRequest, name: str) -> str:
    explicit = request.dtypes.get(name)
    if explicit is not None:
        return explicit.name
    try:
        return DType.of(request.inputs[name]).name
    except InvalidRequest:
        return f"numpy dtype {request.inputs[name].dtype}"


def _names(names: Iterable[str]) -> str:
    listed = [shown(name) for name in islice(names, _MOST_NAMES + 1)]
    return f"[{','.join(listed if len(listed) <= _MOST_NAMES else [*listed[:-1], '...'])}]"


def _dims(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
