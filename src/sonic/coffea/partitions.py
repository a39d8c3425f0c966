"""Calls with dask-awkward arrays: one for each partition, when it is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import awkward as ak
import dask_awkward
import numpy as np

from sonic.client.conversion.texts import content_of
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.specs import ModelSpec

_SAMPLE = {DType.BYTES: b""}
"""An element of a datatype that a number is none of."""


class Wrapper(Protocol):
    """What is called; :class:`sonic.coffea.TritonWrapper`."""

    @property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and largest batch."""

    def prepare_awkward(self, *args: Any, **kwargs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Make the arguments of `call_numpy`."""

    def call_numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""

    def postprocess_awkward(self, return_array: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the result."""


def call_partitions(wrapper: Wrapper, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Have a wrapper called with each partition of the arguments.

    What the outputs look like is known from the model's metadata; the model is not called for it. Sizes that the model
    leaves free come as lists.
    """
    given, named = wrapper.prepare_awkward(*args, **kwargs)
    outputs = named["output_list"] if "output_list" in named else given[0]
    call = _Partition(wrapper, wrapper.spec, outputs)
    packed = dask_awkward.map_partitions(call, *given, label=type(wrapper).__name__, meta=call.traced(), **named)
    return wrapper.postprocess_awkward({name: packed[name] for name in outputs}, *args, **kwargs)


class _Partition:
    """Calls a wrapper with one partition; for the tracing of columns, says which are read and what comes back.

    It is pickled for workers in other processes, which an array without data cannot be: that is made where it is asked
    for.
    """

    def __init__(self, wrapper: Wrapper, spec: ModelSpec, outputs: Sequence[str]) -> None:
        self._wrapper = wrapper
        self._spec = spec
        self._outputs = tuple(outputs)

    def __call__(self, *args: Any, **kwargs: Any) -> ak.Array:
        traced = [array for array in _arrays((args, kwargs)) if ak.backend(array) == "typetracer"]
        for array in traced:
            ak.typetracer.touch_data(array)
        return self.traced() if traced else _packed(self._spec, self._wrapper.call_numpy(*args, **kwargs))

    def traced(self) -> ak.Array:
        """Return what comes back, without its data and of no known length."""
        samples = {
            tensor.name: np.full(
                [max(size, 1) for size in tensor.shape], _SAMPLE.get(tensor.dtype, 0), tensor.dtype.numpy
            )
            for tensor in map(self._spec.output, self._outputs)
        }
        return ak.Array(_packed(self._spec, samples).layout.to_typetracer(forget_length=True))


def _packed(spec: ModelSpec, outputs: Mapping[str, np.ndarray[Any, Any]]) -> ak.Array:
    """One record array of all outputs, since a partition gives one array."""
    columns = {}
    for name, output in outputs.items():
        array = ak.Array(content_of(output, regulararray=True))
        for axis, size in enumerate(spec.output(name).shape):
            if axis and size < 0:
                array = ak.from_regular(array, axis=axis)
        columns[name] = array
    return ak.zip(columns, depth_limit=1)


def _arrays(given: Any) -> Sequence[ak.Array]:
    if isinstance(given, dict):
        return [array for value in given.values() for array in _arrays(value)]
    if isinstance(given, (list, tuple)):
        return [array for value in given for array in _arrays(value)]
    return [given] if isinstance(given, ak.Array) else []
