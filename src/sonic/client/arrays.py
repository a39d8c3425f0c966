"""A model's arrays: checked against its spec, split into batches and put together again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import InvalidRequest, ModelFailed
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from sonic.specs import ModelSpec, TensorSpec

    Arrays = dict[str, np.ndarray[Any, Any]]


def conform(spec: ModelSpec, given: Mapping[str, ArrayLike]) -> Arrays:
    """Make inputs what the model wants.

    Parameters
    ----------
    spec : ModelSpec
    given : mapping of str to array_like
        By input name. A dtype is cast to the model's where that keeps its kind (float64 to float32, int64 to int32)
        or makes a number of floating point of it, to the nearest that there is, and no value is lost to overflow.

    Returns
    -------
    dict of str to ndarray
        Of the model's dtypes; arrays that fit already are not copied.

    Raises
    ------
    InvalidRequest
        Says which input of which model, what it expects, and what was given.
    """
    arrays = {name: _fit(spec.name, spec.input(name), value) for name, value in given.items()}
    for tensor in spec.inputs:
        if tensor.name not in arrays and not tensor.optional:
            raise InvalidRequest(f"model {spec.name!r} needs input {tensor.name!r} {_looks(tensor)}")
    if spec.max_batch_size > 0 and len({len(array) for array in arrays.values()}) > 1:
        listed = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise InvalidRequest(f"inputs of model {spec.name!r} differ in rows: {listed}")
    return arrays


def said_dtypes(spec: ModelSpec, arrays: Arrays) -> dict[str, DType]:
    """Datatypes of inputs that their arrays do not say."""
    return {t.name: t.dtype for t in spec.inputs if t.dtype is DType.BF16 and t.name in arrays}


def has_rows(spec: ModelSpec) -> bool:
    """Whether a model takes any number of rows: it has a batch dimension, or all its tensors begin with a free one."""
    return spec.max_batch_size > 0 or all(t.shape[:1] == (-1,) for t in (*spec.inputs, *spec.outputs))


def is_empty(spec: ModelSpec, arrays: Arrays) -> bool:
    """Whether the inputs of a model that :func:`has_rows` have none, so that the outputs are known without a call."""
    for array in arrays.values():
        if array.shape[:1] != (0,):
            return False
    return bool(arrays) and has_rows(spec)


def empty_outputs(spec: ModelSpec) -> Arrays:
    """Make the outputs for no rows; other free dimensions are zero too."""
    return {t.name: _given(np.empty([max(size, 0) for size in t.shape], t.dtype.numpy)) for t in spec.outputs}


def split(spec: ModelSpec, arrays: Arrays) -> list[Arrays]:
    """Part inputs into requests of at most the model's largest batch, in order; the parts are views."""
    rows = _rows(spec, arrays)
    if rows <= spec.max_batch_size or rows == 0:
        return [arrays]
    starts = range(0, rows, spec.max_batch_size)
    return [{name: array[s : s + spec.max_batch_size] for name, array in arrays.items()} for s in starts]


def join(parts: Sequence[Arrays]) -> Arrays:
    """Put the outputs of parted requests together, in order.

    Raises
    ------
    ModelFailed
        If those of one name differ in more than their rows.
    """
    if len(parts) == 1:
        return parts[0]
    return {name: _given(_concatenated(name, [part[name] for part in parts])) for name in parts[0]}


def check_outputs(spec: ModelSpec, sent: Arrays, outputs: Mapping[str, np.ndarray]) -> Arrays:
    """Return the outputs of one request, read-only, if they are what the model declared.

    Raises
    ------
    ModelFailed
        If one is missing, is of another dtype, or has another number of rows than was sent.
    """
    rows = _rows(spec, sent)
    for tensor in spec.outputs:
        array = outputs.get(tensor.name)
        if array is None:
            raise ModelFailed(f"model {spec.name!r} left out its output {tensor.name!r}")
        if array.dtype != tensor.dtype.numpy:
            raise ModelFailed(
                f"output {tensor.name!r} of model {spec.name!r} is {array.dtype}, declared {tensor.dtype.name}"
            )
        if spec.max_batch_size > 0 and array.shape[:1] != (rows,):
            raise ModelFailed(
                f"output {tensor.name!r} of model {spec.name!r} has shape {list(array.shape)} for {rows} rows"
            )
    return {name: _given(array) for name, array in outputs.items()}


def _given(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an output as a caller gets it: read-only, since some are views of a message, or a model's own memory."""
    view = array.view()
    view.flags.writeable = False
    return view


def beyond(integers: np.ndarray[Any, Any], target: np.dtype[Any]) -> int | None:
    """Return one of some integers that an integer dtype cannot hold; None if it holds them all."""
    if not integers.size:
        return None
    info = np.iinfo(target)
    return next((int(each) for each in (integers.min(), integers.max()) if not info.min <= int(each) <= info.max), None)


def _concatenated(name: str, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    try:
        return np.concatenate(arrays)
    except ValueError as error:
        what = f"output {name!r} of the requests that a call was parted into cannot be put together"
        raise ModelFailed(f"{what}: {error}") from None


def _rows(spec: ModelSpec, arrays: Arrays) -> int:
    """Rows of a request; 0 if the model has no batch dimension."""
    return max((len(array) for array in arrays.values()), default=0) if spec.max_batch_size > 0 else 0


def _fit(model: str, tensor: TensorSpec, value: ArrayLike) -> np.ndarray[Any, Any]:
    if type(value) is np.ndarray and value.dtype == tensor.dtype.numpy and tensor.accepts(value.shape):
        return value
    which = f"input {tensor.name!r} of model {model!r}"
    try:
        array = np.asanyarray(value)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidRequest(f"{which} is not a rectangular array: {reason}") from None
    except Exception as error:  # of its own conversion: torch's, of a tensor with a gradient, raises RuntimeError
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidRequest(f"{which} cannot be made an array: {reason}") from error
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InvalidRequest(f"{which} has masked values: fill them first")
    array = np.asarray(array)
    expected = f"{which} is {_looks(tensor)}"
    if not tensor.accepts(array.shape):
        raise InvalidRequest(f"{expected}, given {array.dtype} {list(array.shape)}")
    if array.dtype == tensor.dtype.numpy:
        return array
    if isinstance(value, (list, tuple)) and not array.size:  # which numpy takes for numbers of floating point
        return array.astype(tensor.dtype.numpy)
    if tensor.dtype is DType.BYTES and array.dtype.kind in "SUT":
        # Of the texts themselves, since those of numpy end before the first of the zeros at their end.
        return np.array(value.tolist() if hasattr(value, "tolist") else value, np.object_).reshape(array.shape)
    return _cast(expected, array, tensor.dtype.numpy)


def _cast(expected: str, array: np.ndarray[Any, Any], target: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, target, "same_kind") or target.hasobject:
        raise InvalidRequest(f"{expected}, given {array.dtype} {list(array.shape)}, which is not cast without loss")
    if array.dtype.kind in "iu" and target.kind in "iu" and (value := beyond(array, target)) is not None:
        raise InvalidRequest(f"{expected}, which cannot hold the value {value} given")
    try:
        with np.errstate(over="raise"):
            return array.astype(target)
    except FloatingPointError:
        raise InvalidRequest(f"{expected}, which cannot hold values as large as given") from None


def _looks(tensor: TensorSpec) -> str:
    return f"{tensor.dtype.name} {list(tensor.shape)}"
