"""What is sent: random tensors as the model's metadata wants them, or real ones from a file."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from zipfile import BadZipFile

import numpy as np
from msgspec.structs import replace

from sonic.errors import ConfigError, DataError, one_line
from sonic.protocol.messages import InferRequest
from sonic.specs import DType
from sonic.study.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sonic.specs import ModelSpec, TensorSpec

_DIFFERENT = 16
"""Random requests of a process that differ: a cache that the server has must not answer all of them."""

_MEMORY_BYTES = 64 << 20
"""For them; of large ones there are fewer."""

_INTEGERS = 3
"""Random integers are below it: often they are indices, into tables that may be small (DeepMET's has three rows)."""


class Inputs(Protocol):
    """Where requests come from. It is pickled to the processes."""

    def requests(self, spec: ModelSpec, seed: int) -> Iterator[InferRequest]:
        """Yield requests that a process sends in turn, over and over: as many as fit into memory.

        Parameters
        ----------
        spec : ModelSpec
        seed : int
            Another one in each process.

        Raises
        ------
        ConfigError, DataError
            If there are none for such a model.
        """


@dataclass(frozen=True)
class RandomInputs:
    """Numbers at random: floats from a normal distribution, integers from 0 to 2, texts of digits.

    Parameters
    ----------
    rows : int
        First dimension of a model that batches.
    shapes : mapping of str to tuple of int
        Whole shapes, for inputs with an open dimension; what else is open is 1.
    """

    rows: int = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def requests(self, spec: ModelSpec, seed: int) -> Iterator[InferRequest]:
        """Yield requests; see :class:`Inputs`.

        Raises
        ------
        ConfigError
            If a shape does not fit, or there are more rows than the model takes.
        """
        shapes = self._shapes(spec)
        random = np.random.default_rng(seed)
        tensors = _needed(spec)
        yield from _as_fit(
            _request(spec, {each.name: _random(random, each.dtype, shapes[each.name]) for each in tensors})
            for _ in range(_DIFFERENT)
        )

    def _shapes(self, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
        _check_rows(spec, self.rows)
        for name, shape in self.shapes.items():
            tensor = spec.input(name)
            if not tensor.accepts(shape) or min(shape, default=1) < 0:
                raise ConfigError(f"input {name} of {spec.name} has shape {_text(tensor.shape)}; given {_text(shape)}")
        return {tensor.name: self.shapes.get(tensor.name) or self._shape(spec, tensor) for tensor in _needed(spec)}

    def _shape(self, spec: ModelSpec, tensor: TensorSpec) -> tuple[int, ...]:
        shape = [1 if length < 0 else length for length in tensor.shape]
        if spec.max_batch_size and shape:
            shape[0] = self.rows
        return tuple(shape)


@dataclass(frozen=True)
class FileInputs:
    """Tensors by name from a NumPy file, ``.npz``, as they are: one request.

    Parameters
    ----------
    path : str
    rows : int or None
        Only so many rows a request, of a model that batches: several requests, one after the other; None: all in one.
    """

    path: str
    rows: int | None = None

    def requests(self, spec: ModelSpec, seed: int) -> Iterator[InferRequest]:  # noqa: ARG002 - nothing is random
        """Yield requests; see :class:`Inputs`.

        Raises
        ------
        ConfigError
            If the model does not take requests of so many rows.
        DataError
            If the file cannot be read, or lacks an input of the model.
        """
        if self.rows is not None:
            _check_rows(spec, self.rows)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, AttributeError, EOFError, BadZipFile, zlib.error) as error:
            # Besides what no numpy wrote: a file .npy, one that is empty, one that was cut short or damaged.
            reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
            raise DataError(f"cannot read {self.path} as .npz: {reason}") from error
        missing = [tensor.name for tensor in _needed(spec) if tensor.name not in arrays]
        if missing:
            raise DataError(
                f"{self.path} has no {', '.join(missing)} for {spec.name}: it has {', '.join(arrays) or 'none'}"
            )
        inputs = {tensor.name: arrays[tensor.name] for tensor in spec.inputs if tensor.name in arrays}
        if not spec.max_batch_size or self.rows is None:
            yield _request(spec, inputs)
            return
        total = min((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        if total < self.rows:
            raise DataError(f"{self.path} has {total} rows, expected {self.rows} or more")
        for start in range(0, total - self.rows + 1, self.rows):
            yield _request(spec, {name: array[start : start + self.rows] for name, array in inputs.items()})


@dataclass(frozen=True)
class RecordedInputs:
    """What a client recorded, as far as it went to the model; see :mod:`sonic.study.recording`.

    Parameters
    ----------
    path : str
    """

    path: str

    def requests(self, spec: ModelSpec, seed: int) -> Iterator[InferRequest]:
        """Yield requests, from another one on in each process; see :class:`Inputs`.

        Raises
        ------
        DataError
            If the file cannot be read, or has no request to the model.
        """
        recording = Recording(self.path)
        if spec.name not in recording.models:
            raise DataError(f"{self.path} has no request to {spec.name}: it has some to {', '.join(recording.models)}")
        turned = (recording[(number + seed) % len(recording)] for number in range(len(recording)))
        yield from _as_fit(replace(request, timeout_s=None) for request in turned if request.model == spec.name)


def rows_of(request: InferRequest, spec: ModelSpec) -> int:
    """Return the rows of a request; 1 where the model does not batch."""
    return next((array.shape[0] for array in request.inputs.values() if array.ndim), 1) if spec.max_batch_size else 1


def _check_rows(spec: ModelSpec, rows: int) -> None:
    if spec.max_batch_size and rows > spec.max_batch_size:
        raise ConfigError(f"model {spec.name} takes {spec.max_batch_size} rows at most; given {rows}")
    if not spec.max_batch_size and rows > 1:
        raise ConfigError(f"model {spec.name} has no batch dimension, so that a request is one row; given {rows}")


def _as_fit(requests: Iterable[InferRequest]) -> Iterator[InferRequest]:
    """Yield requests until they fill the memory for them; none is made beyond."""
    left_bytes = _MEMORY_BYTES
    for request in requests:
        yield request
        left_bytes -= sum(array.nbytes for array in request.inputs.values())
        if left_bytes <= 0:
            return


def _needed(spec: ModelSpec) -> list[TensorSpec]:
    return [tensor for tensor in spec.inputs if not tensor.optional]


def _request(spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> InferRequest:
    odd = {name: DType.BF16 for name in inputs if spec.input(name).dtype is DType.BF16}
    return InferRequest(spec.name, inputs, dtypes=odd)


def _random(random: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    kind = dtype.numpy
    if kind.kind == "f":
        return random.standard_normal(shape).astype(kind)
    numbers = random.integers(2 if dtype is DType.BOOL else _INTEGERS, size=shape)
    if dtype is DType.BYTES:
        return np.array([b"%d" % number for number in numbers.flat], object).reshape(shape)
    return numbers.astype(kind)


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
