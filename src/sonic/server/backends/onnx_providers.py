"""Which execution providers of ONNX Runtime run a model, by where its instances are and what its owner asks for. Pure.

An instance on a GPU gets CUDA, or else MIGraphX or ROCm, whichever the installed onnxruntime has, with the CPU for what
that cannot execute. TensorRT goes before it only if ``optimization.execution_accelerators`` asks for it: it builds an
engine for minutes, and onnxruntime lists it whether its libraries are there or not. Settings have the names that they
have in Triton's ONNX Runtime backend, or the provider's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelOptimizationPolicy

    Accelerator = ModelOptimizationPolicy.ExecutionAccelerators.Accelerator
    Options = dict[str, str]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_ON_GPU = {
    "tensorrt": TENSORRT,
    "cuda": CUDA,
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
_ON_CPU = {"openvino": "OpenVINOExecutionProvider"}
_FIRST = (CUDA, _ON_GPU["migraphx"], _ON_GPU["rocm"])  # what a GPU gets that nobody says more of
_OF_NVIDIA = {CUDA, TENSORRT}

_TENSORRT_NAMES = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISIONS = {"FP32": {}, "FP16": {"trt_fp16_enable": "True"}, "INT8": {"trt_int8_enable": "True"}}
_CHOICES = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
}
_OLD_PARAMETERS = (*_CHOICES, "gpu_mem_limit", "do_copy_in_default_stream")


def providers_of(config: ModelConfig, gpu: int | None, available: Sequence[str]) -> list[tuple[str, Options]]:
    """Return the providers for instances in one place, in the order in which they are asked, each with its options.

    Parameters
    ----------
    config : ModelConfig
    gpu : int or None
        The number of the GPU; None: the CPU.
    available : sequence of str
        Those of the installed onnxruntime.

    Raises
    ------
    ConfigError
        If one is asked for that onnxruntime does not have, or a setting makes no sense.
    """
    accelerators = config.optimization.execution_accelerators
    if gpu is None:
        return [*_asked(accelerators.cpu_execution_accelerator, _ON_CPU, "cpu", available), (CPU, {})]
    asked = dict(_asked(accelerators.gpu_execution_accelerator, _ON_GPU, "gpu", available))
    if asked.keys() <= {TENSORRT} and (first := next((name for name in _FIRST if name in available), None)):
        asked[first] = {}
    if CUDA in asked:
        old = {name: config.parameters[name].string_value for name in _OLD_PARAMETERS if name in config.parameters}
        asked[CUDA] = {**_cuda(old), **asked[CUDA]}
    return [*((name, {"device_id": str(gpu), **options}) for name, options in asked.items()), (CPU, {})]


def count_gpus(available: Sequence[str], nvidia: Callable[[], int], amd: Callable[[], int]) -> int:
    """Return how many GPUs the installed onnxruntime can use.

    Parameters
    ----------
    available : sequence of str
        Its providers.
    nvidia, amd : callable
        Say how many there are of each kind.
    """
    if _OF_NVIDIA & set(available):
        return nvidia()
    return amd() if set(available) & set(_FIRST) else 0


def why_no_gpu(available: Sequence[str]) -> str:
    """Say why :func:`count_gpus` found none."""
    if set(available) & {*_FIRST, TENSORRT}:
        return "there is none that this process may use"
    return f"the installed onnxruntime has no provider for one, only {', '.join(available)} (see onnxruntime-gpu)"


def _asked(
    accelerators: Iterable[Accelerator], known: Mapping[str, str], where: str, available: Sequence[str]
) -> Iterable[tuple[str, Options]]:
    for accelerator in accelerators:
        label = f"{where}_execution_accelerator {accelerator.name!r}"
        name = known.get(accelerator.name)
        if name is None:
            raise ConfigError(f"{label} is unknown: one of {', '.join(known)}")
        if name not in available:
            raise ConfigError(f"{label}: the installed onnxruntime has no {name}, only {', '.join(available)}")
        given = dict(accelerator.parameters)
        yield name, _tensorrt(given, label) if name == TENSORRT else _cuda(given) if name == CUDA else given


def _tensorrt(given: Mapping[str, str], label: str) -> Options:
    options: Options = {}
    for name, value in given.items():
        if name == "precision_mode":
            if value not in _PRECISIONS:
                raise ConfigError(f"{label}: precision_mode is one of {', '.join(_PRECISIONS)}, given {value!r}")
            options |= _PRECISIONS[value]
        elif name in _TENSORRT_NAMES or name.startswith("trt_"):
            options[_TENSORRT_NAMES.get(name, name)] = value
        else:
            known = ", ".join(["precision_mode", *_TENSORRT_NAMES])
            raise ConfigError(f"{label}: unknown parameter {name!r}, expected {known} or one that begins with trt_")
    return options


def _cuda(given: Mapping[str, str]) -> Options:
    """Replace the numbers that Triton has for choices by onnxruntime's words."""
    options = dict(given)
    for name, words in _CHOICES.items():
        value = options.get(name, "")
        if value.isdecimal():
            if int(value) >= len(words):
                raise ConfigError(f"parameter {name} is from 0 to {len(words) - 1}, given {value}")
            options[name] = words[int(value)]
    return options
