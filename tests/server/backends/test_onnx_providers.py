from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.backends.onnx_providers import count_gpus, providers_of, why_no_gpu

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
MIGRAPHX = "MIGraphXExecutionProvider"
ROCM = "ROCMExecutionProvider"
NVIDIA = (TENSORRT, CUDA, CPU)


def accelerator(name: str, parameters: str = "", where: str = "gpu") -> str:
    entry = f'{where}_execution_accelerator {{ name: "{name}" {parameters} }}'
    return f"optimization {{ execution_accelerators {{ {entry} }} }}"


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value: "{value}" }}'


def model_parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


@pytest.mark.parametrize(
    ("text", "gpu", "available", "names"),
    [
        ("", None, NVIDIA, [CPU]),
        ("", 0, NVIDIA, [CUDA, CPU]),
        ("", 0, (MIGRAPHX, ROCM, CPU), [MIGRAPHX, CPU]),
        ("", 0, (ROCM, CPU), [ROCM, CPU]),
        (accelerator("tensorrt"), 0, NVIDIA, [TENSORRT, CUDA, CPU]),
        (accelerator("tensorrt"), None, NVIDIA, [CPU]),
        (accelerator("cuda"), 0, NVIDIA, [CUDA, CPU]),
        (accelerator("rocm"), 0, (MIGRAPHX, ROCM, CPU), [ROCM, CPU]),
        (
            accelerator("openvino", where="cpu"),
            None,
            ("OpenVINOExecutionProvider", CPU),
            ["OpenVINOExecutionProvider", CPU],
        ),
        (accelerator("openvino", where="cpu"), 0, NVIDIA, [CUDA, CPU]),
    ],
)
def test_which_providers(text: str, gpu: int | None, available: tuple[str, ...], names: list[str]) -> None:
    assert [name for name, _ in providers_of(parse(text), gpu, available)] == names


def test_every_provider_of_a_gpu_is_told_which() -> None:
    chosen = dict(providers_of(parse(accelerator("tensorrt")), 3, NVIDIA))
    assert chosen == {TENSORRT: {"device_id": "3"}, CUDA: {"device_id": "3"}, CPU: {}}


def test_settings_of_tensorrt_have_tritons_names() -> None:
    text = accelerator(
        "tensorrt",
        parameter("precision_mode", "FP16")
        + parameter("max_workspace_size_bytes", "1000")
        + parameter("trt_engine_cache_path", "cache"),
    )
    assert dict(providers_of(parse(text), 0, NVIDIA))[TENSORRT] == {
        "device_id": "0",
        "trt_fp16_enable": "True",
        "trt_max_workspace_size": "1000",
        "trt_engine_cache_path": "cache",
    }


@pytest.mark.parametrize(
    "text",
    [
        accelerator("cuda", parameter("cudnn_conv_algo_search", "1") + parameter("gpu_mem_limit", "9")),
        accelerator("cuda", parameter("cudnn_conv_algo_search", "HEURISTIC") + parameter("gpu_mem_limit", "9")),
        model_parameter("cudnn_conv_algo_search", "1") + model_parameter("gpu_mem_limit", "9"),
        accelerator("cuda", parameter("gpu_mem_limit", "9"))
        + model_parameter("cudnn_conv_algo_search", "1")
        + model_parameter("gpu_mem_limit", "8"),
    ],
)
def test_settings_of_cuda_stand_in_either_place(text: str) -> None:
    options = dict(providers_of(parse(text), 0, NVIDIA))[CUDA]
    assert options == {"device_id": "0", "cudnn_conv_algo_search": "HEURISTIC", "gpu_mem_limit": "9"}


@pytest.mark.parametrize(
    ("text", "gpu", "complaint"),
    [
        (accelerator("tpu"), 0, "gpu_execution_accelerator 'tpu' is unknown: one of tensorrt, cuda, migraphx, rocm"),
        (accelerator("rocm"), 0, "'rocm': the installed onnxruntime has no ROCMExecutionProvider, only Tensorrt"),
        (accelerator("openvino", where="cpu"), None, "cpu_execution_accelerator 'openvino': the installed"),
        (accelerator("tensorrt", parameter("precision_mode", "FP8")), 0, "one of FP32, FP16, INT8, given 'FP8'"),
        (accelerator("tensorrt", parameter("workspace", "1")), 0, "unknown parameter 'workspace', expected precision"),
        (model_parameter("arena_extend_strategy", "2"), 0, "arena_extend_strategy is from 0 to 1, given 2"),
    ],
)
def test_what_makes_no_sense(text: str, gpu: int | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        providers_of(parse(text), gpu, NVIDIA)


@pytest.mark.parametrize(
    ("available", "count"), [((CPU,), 0), ((CUDA, CPU), 2), ((TENSORRT, CPU), 2), ((MIGRAPHX, CPU), 1)]
)
def test_only_gpus_that_onnxruntime_can_use_are_counted(available: tuple[str, ...], count: int) -> None:
    assert count_gpus(available, lambda: 2, lambda: 1) == count


def test_why_there_is_no_gpu() -> None:
    assert "has no provider for one, only CPUExecutionProvider" in why_no_gpu([CPU])
    assert "none that this process may use" in why_no_gpu([CUDA, CPU])
