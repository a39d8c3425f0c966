"""ONNX models on ONNX Runtime.

One session executes for all instances of a model: it is thread-safe, holds the weights once, and with one intra-op
thread each call runs in the thread that makes it (2 threads on one session and on two sessions took equally long).
``parameters`` of config.pbtxt that count here: ``intra_op_thread_count`` (1 unless given), ``execution_mode`` (1:
operators side by side, in ``inter_op_thread_count`` threads or as many as there are cores), and ``merge``:
``measured`` unless given, which is to say as :mod:`sonic.server.backends.onnx_rows` finds that the bits of a result do
not depend on its company; ``always`` for a model whose owner vouches for that, or does not mind; ``never``. What was
measured holds for ONNX Runtime's own kernels on the CPU, and graphs that it optimises as far as it can: on a GPU, with
another accelerator, or with a level in ``optimization.graph``, requests are merged only if ``merge`` is ``always``.
Where instances execute, and with which provider, is in :mod:`sonic.server.backends.devices` and
:mod:`sonic.server.backends.onnx_providers`; each GPU has one session.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from sonic.errors import ConfigError, DataError, InvalidRequest, one_line, shown
from sonic.server.backends.base import Backend, choice_parameter, int_parameter
from sonic.server.backends.completion import Signature
from sonic.server.backends.devices import amd_gpus, nvidia_gpus, place
from sonic.server.backends.onnx_providers import CPU, count_gpus, providers_of, why_no_gpu
from sonic.server.backends.onnx_rows import rows_of
from sonic.server.execution.instances import Instance, Rows
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.base import LoadContext

log = logging.getLogger("sonic.server")

_DTYPES = {
    "tensor(bool)": DType.BOOL,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(float16)": DType.FP16,
    "tensor(float)": DType.FP32,
    "tensor(double)": DType.FP64,
    "tensor(string)": DType.BYTES,
}
_ERRORS = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)
_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
"""By Triton's numbers; any other is all that there is."""
_VECTOR_BYTES = 16
_LONG = np.dtype(np.longdouble)  # its alignment is as many bytes, on most machines


class OnnxBackend(Backend):
    """One version of an ONNX model."""

    platform: ClassVar[str] = "onnxruntime_onnx"
    filename: ClassVar[str] = "model.onnx"
    steady: bool = True

    def __init__(self, context: LoadContext) -> None:
        config = context.config
        self._name = context.name
        self._path = _file(context.folder / (config.default_model_filename or self.filename))
        self._threads = min(max(int_parameter(config, "intra_op_thread_count", 1), 1), context.cores)
        self._parallel = choice_parameter(config, "execution_mode", ("0", "1")) == "1"
        self._inter = min(max(int_parameter(config, "inter_op_thread_count", 0), 0) or context.cores, context.cores)
        self._level = _LEVELS.get(config.optimization.graph.level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        self._merge = choice_parameter(config, "merge", ("measured", "always", "never"))
        available = ort.get_available_providers()
        gpus = count_gpus(available, nvidia_gpus, amd_gpus)
        self._devices = place(
            config,
            context.name,
            gpus=gpus,
            cores=context.cores,
            threads=self._threads,
            without="" if gpus else why_no_gpu(available),
        )
        providers = {gpu: providers_of(config, gpu, available) for gpu in dict.fromkeys(self._devices)}
        self._measured = (
            providers.keys() == {None}
            and len(providers[None]) == 1
            and self._level is ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        )
        self._sessions = {gpu: [self._session(chosen)] for gpu, chosen in providers.items()}
        if self._threads > 1 and None in providers:
            # A pool of threads is not shared, or one call would wait for another's.
            more = range(1, self._devices.count(None))
            self._sessions[None] += [self._session(providers[None]) for _ in more]
        self._signature = _signature(self._sessions[self._devices[0]][0])
        self._warn_if_alone(config, context.name)

    @classmethod
    def serves(cls, folder: Path) -> bool:
        """Whether there is an ONNX file, or a folder with one."""
        return _file(folder / cls.filename).is_file()

    @property
    def signature(self) -> Signature:
        """Tensors as the session declares them."""
        return self._signature

    def rows(self) -> Rows:
        """As :mod:`sonic.server.backends.onnx_rows` says of the operators in the model."""
        if self._merge == "always":
            return Rows()
        if self._merge == "never" or self._threads > 1 or not self._measured:
            return Rows(merge=False)
        return rows_of(_read(self._path), self._shapes)

    def instances(self) -> Sequence[Instance]:
        """Return one for each place that the instance groups ask for and that there is."""
        text = frozenset(t.name for t in self._signature.inputs if t.dtype is DType.BYTES)
        made: list[Instance] = []
        for gpu, sessions in self._sessions.items():
            each = [_SessionInstance(session, text, gpu, self._name) for session in sessions]
            made += each * self._devices.count(gpu) if len(each) == 1 else each
        return made

    def close(self) -> None:
        """Let the sessions go; their memory returns with the last reference."""
        self._sessions.clear()

    def _warn_if_alone(self, config: ModelConfig, name: str) -> None:
        if config.HasField("dynamic_batching") and self._merge == "measured" and not self._measured:
            log.warning(
                "model %r: requests are not merged, for only on the CPU, and with every optimisation, is it "
                "known what lets the bits of a row depend on the rows beside it; the parameter merge with the value "
                "always merges them",
                name,
            )

    def _session(self, providers: Sequence[tuple[str, dict[str, str]]], content: bytes | None = None) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.graph_optimization_level = self._level
        if self._parallel:
            options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
            options.inter_op_num_threads = self._inter
        options.enable_mem_pattern = False  # it keeps a plan for every size of batch ever met
        options.log_severity_level = 4  # errors reach the caller as exceptions
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if content is not None:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", os.fspath(self._path.parent)
            )
        elif not self._path.is_file():
            raise DataError(f"there is no file {self._path}")
        try:
            session = ort.InferenceSession(
                content if content is not None else os.fspath(self._path),
                options,
                providers=list(providers),
                enable_fallback=0,
            )
        except _ERRORS as error:
            raise DataError(f"ONNX Runtime cannot load {self._path}: {one_line(error)}") from error
        session.disable_fallback()  # or one failure would move the model to the CPU for good
        for name, _ in providers:
            if name not in session.get_providers():
                raise ConfigError(f"ONNX Runtime cannot start {name}: a library that it needs is missing or unfit")
        return session

    def _shapes(self, model: bytes, names: Sequence[str]) -> Mapping[str, tuple[Sequence[Any], str]]:
        try:
            session = self._session([(CPU, {})], model)
        except DataError:  # a tensor that cannot be an output: its shape stays unknown
            return {}
        tensors = {tensor.name: tensor for tensor in (*session.get_inputs(), *session.get_outputs())}
        return {name: (tensors[name].shape, tensors[name].type) for name in names if name in tensors}


class _SessionInstance(Instance):
    def __init__(self, session: Any, text: frozenset[str], gpu: int | None, model: str) -> None:
        self.gpu = gpu
        self._session = session
        self._text = text
        self._model = model

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        feed: dict[str, np.ndarray] = {}
        for name, array in inputs.items():
            if name in self._text:
                feed[name] = self._decoded(name, array)
            else:
                feed[name] = array if _is_aligned(array) else _aligned(array)
        made: dict[str, np.ndarray] = {}
        for name, array in zip(wanted, self._session.run(wanted, feed), strict=True):
            made[name] = _octets(array) if array.dtype.kind in "OU" else array
        return made

    def _decoded(self, name: str, array: np.ndarray) -> np.ndarray:
        try:
            return _text(array)
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"input {name!r} for model {self._model!r}: the texts of ONNX Runtime are UTF-8, "
                f"given {shown(error.object)}"
            ) from None


def _file(path: Path) -> Path:
    """Return a model's file: it may be in a folder of its name, with its weights beside it, as Triton has it."""
    return path / OnnxBackend.filename if path.is_dir() else path


def _aligned(array: np.ndarray) -> np.ndarray:
    """Copy an array whose address would change the order of sums (see onnx_rows)."""
    size = array.nbytes
    room = np.empty(size + _VECTOR_BYTES, np.uint8)
    start = -room.__array_interface__["data"][0] % _VECTOR_BYTES
    copy = room[start : start + size].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _is_aligned(array: np.ndarray) -> bool:
    if array.nbytes < _VECTOR_BYTES or _LONG.alignment != _VECTOR_BYTES:
        address: int = array.__array_interface__["data"][0]
        return address % _VECTOR_BYTES == 0
    # To ask for the address costs as much as a small model.
    return np.ndarray(1, _LONG, array).flags.aligned


def _text(array: np.ndarray) -> np.ndarray:
    """Return the elements as ONNX Runtime takes them; bytes that are no UTF-8 raise UnicodeDecodeError."""
    flat = [element.decode() if isinstance(element, bytes) else str(element) for element in array.reshape(-1)]
    return np.array(flat, np.object_).reshape(array.shape)


def _octets(array: np.ndarray) -> np.ndarray:
    return np.array([str(element).encode() for element in array.reshape(-1)], np.object_).reshape(array.shape)


def _signature(session: Any) -> Signature:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    first = {_free(tensor.shape[0]) if tensor.shape else None for tensor in (*inputs, *outputs)}
    return Signature(
        tuple(_spec(tensor) for tensor in inputs),
        tuple(_spec(tensor) for tensor in outputs),
        # Dimensions of different names are different dimensions: nodes and edges are no batch.
        batch=bool(inputs) and bool(outputs) and None not in first and len(first - {""}) <= 1,
    )


def _free(size: int | str | None) -> str | None:
    """Name of a free dimension, empty if it has none; None if it is fixed."""
    if isinstance(size, int):
        return "" if size < 0 else None
    return size or ""


def _spec(tensor: Any) -> TensorSpec:
    if tensor.type not in _DTYPES:
        raise ConfigError(f"tensor {tensor.name!r} is a {tensor.type}, which the protocol has no datatype for")
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in tensor.shape)
    return TensorSpec(tensor.name, _DTYPES[tensor.type], shape)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
