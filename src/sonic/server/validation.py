"""A request against the model it is for, before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping

    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec, TensorSpec


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
            raise _unlike(spec, tensor, tensor.dtype.name, _dtype_name(request, tensor.name))
        if not tensor.accepts(array.shape):
            raise _unlike(spec, tensor, f"shape {list(tensor.shape)}", f"shape {list(array.shape)}")
        if spec.max_batch_size:
            if not 0 < array.shape[0] <= spec.max_batch_size:
                limit = f"a batch of 1 to {spec.max_batch_size} rows"
                raise _unlike(spec, tensor, limit, f"shape {list(array.shape)}")
            if rows is not None and array.shape[0] != rows:
                raise _unlike(spec, tensor, f"{rows} rows as the inputs before it", f"shape {list(array.shape)}")
            rows = array.shape[0]
        inputs[tensor.name] = array
    return inputs, rows or 1


def shape_key(inputs: Mapping[str, np.ndarray], ragged: Collection[str] = ()) -> Hashable:
    """Whatever must be equal for requests to share a batch: names, and shapes without rows.

    Datatypes need no look: they are the model's. Of inputs in `ragged` the shapes may differ.
    """
    if ragged:
        return tuple((name, None if name in ragged else array.shape[1:]) for name, array in inputs.items())
    return tuple((name, array.shape[1:]) for name, array in inputs.items())


def _check_names(given: Mapping[str, np.ndarray], spec: ModelSpec) -> None:
    for name in given:
        spec.input(name)
    for tensor in spec.inputs:
        if tensor.name not in given and not tensor.optional:
            names = ", ".join(given) or "none"
            raise InvalidRequest(
                f"model {spec.name!r}: input {tensor.name!r} ({tensor.dtype.name} {list(tensor.shape)}) is missing, "
                f"given {names}"
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


def _unlike(spec: ModelSpec, tensor: TensorSpec, expected: str, given: str) -> InvalidRequest:
    return InvalidRequest(f"model {spec.name!r}, input {tensor.name!r}: expected {expected}, given {given}")
