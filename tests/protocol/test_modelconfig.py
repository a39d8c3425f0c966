from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.protocol import modelconfig, protojson
from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelInstanceGroup
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
name: "tagger"
platform: "onnxruntime_onnx"
max_batch_size: 500
input [ { name: "pf" data_type: TYPE_FP32 dims: [ 20, 50 ] },
        { name: "tag" data_type: TYPE_STRING dims: [ 1 ] optional: true } ]
output { name: "softmax" data_type: TYPE_FP16 dims: [ -1 ] }
dynamic_batching { max_queue_delay_microseconds: 100 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def test_text_to_spec() -> None:
    config = modelconfig.normalise(modelconfig.parse(TEXT), "tagger")
    modelconfig.validate(config)
    assert modelconfig.to_spec(config, "1") == ModelSpec(
        "tagger",
        "1",
        (TensorSpec("pf", DType.FP32, (-1, 20, 50)), TensorSpec("tag", DType.BYTES, (-1, 1), optional=True)),
        (TensorSpec("softmax", DType.FP16, (-1, -1)),),
        max_batch_size=500,
        platform="onnxruntime_onnx",
    )


def test_normalised_as_triton_does() -> None:
    given = modelconfig.parse(TEXT)
    config = modelconfig.normalise(given, "tagger")
    assert given == modelconfig.parse(TEXT)
    assert list(config.dynamic_batching.preferred_batch_size) == [500]
    assert config.version_policy.latest.num_versions == 1
    assert config.backend == "onnxruntime"
    assert config.default_model_filename == "model.onnx"
    (group,) = config.instance_group
    assert (group.name, group.kind, group.count) == ("tagger", ModelInstanceGroup.KIND_CPU, 1)
    assert config.optimization.input_pinned_memory.enable
    assert config.optimization.output_pinned_memory.enable
    assert not config.HasField("model_transaction_policy")
    assert modelconfig.normalise(config, "tagger") == config


def test_an_ensemble_is_normalised_as_triton_does() -> None:
    config = modelconfig.normalise(modelconfig.parse("ensemble_scheduling { }"), "e")
    assert config.platform == "ensemble"
    assert config.HasField("model_transaction_policy")
    assert not config.HasField("optimization")
    assert not config.instance_group


def test_what_is_given_is_kept() -> None:
    text = (
        TEXT.replace("{ max_queue", "{ preferred_batch_size: [ 8, 32 ] max_queue")
        + """
        version_policy { specific { versions: [ 1, 3 ] } }
        default_model_filename: "net.onnx"
        instance_group [ { count: 2 }, { name: "b" kind: KIND_GPU }, { gpus: [ 1 ] } ]"""
    )
    config = modelconfig.normalise(modelconfig.parse(text), "tagger")
    modelconfig.validate(config)
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 32]
    assert list(config.version_policy.specific.versions) == [1, 3]
    assert config.default_model_filename == "net.onnx"
    assert [(group.name, group.kind, group.count, list(group.gpus)) for group in config.instance_group] == [
        ("tagger_0", ModelInstanceGroup.KIND_CPU, 2, []),
        ("b", ModelInstanceGroup.KIND_GPU, 1, []),
        ("tagger_2", ModelInstanceGroup.KIND_GPU, 1, [1]),
    ]


@pytest.mark.parametrize(
    ("text", "backend", "platform", "filename"),
    [
        ('backend: "onnxruntime"', "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ('platform: "pytorch_libtorch"', "pytorch", "pytorch_libtorch", "model.pt"),
        ('backend: "python"', "python", "", "model.py"),
        ('default_model_filename: "model.py"', "python", "", "model.py"),
        ('backend: "mine"', "mine", "", ""),
        ('ensemble_scheduling { step { model_name: "a" model_version: -1 } }', "", "ensemble", ""),
        ("", "", "", ""),
    ],
)
def test_backend_platform_and_file_complete_each_other(text: str, backend: str, platform: str, filename: str) -> None:
    config = modelconfig.normalise(modelconfig.parse(text), "m")
    assert (config.name, config.backend, config.platform, config.default_model_filename) == (
        "m",
        backend,
        platform,
        filename,
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('name: "b" backend: "x" max_batch_size: -1', "max_batch_size is -1, expected 0 or more"),
        ('backend: "onnxruntime" platform: "pytorch_libtorch"', "backend 'onnxruntime' does not serve platform .*"),
        ('platform: "tensorrt_plan"', "no backend serves platform 'tensorrt_plan'"),
        ("", "it names no backend"),
        ('platform: "ensemble"', "platform 'ensemble' and ensemble_scheduling go together"),
        ('backend: "x" input { data_type: TYPE_FP32 }', "input number 0 has no name"),
        ('backend: "x" input { name: "a" dims: 1 }', "input 'a' has no data_type"),
        ('backend: "x" output { name: "a" data_type: TYPE_FP32 dims: 0 }', "output 'a' has dimension 0, .*"),
        ('backend: "x" output { name: "a" data_type: TYPE_FP32 dims: -2 }', "output 'a' has dimension -2, .*"),
        (
            'backend: "x" input [ { name: "a" data_type: TYPE_FP32 }, { name: "a" data_type: TYPE_FP32 } ]',
            "input 'a' is there twice",
        ),
        (
            'backend: "x" input { name: "a" data_type: TYPE_FP32 dims: [2, 3] reshape { shape: [5] } }',
            r"input 'a' cannot be reshaped from \[2, 3\] to \[5\]: .*",
        ),
        (
            'backend: "x" input { name: "a" data_type: TYPE_FP32 dims: [-1, 2] reshape { shape: [-1, -1] } }',
            r"input 'a' cannot be reshaped from \[-1, 2\] to \[-1, -1\]: variable dimensions or .*",
        ),
        (
            'backend: "x" output { name: "a" data_type: TYPE_FP32 dims: [-1] reshape { shape: [-1, 2] } }',
            r"output 'a' cannot be reshaped from \[-1\] to \[-1, 2\]: .*",
        ),
        (
            'backend: "x" input { name: "a" data_type: TYPE_FP32 dims: [-1] reshape { shape: [4] } }',
            r"input 'a' cannot be reshaped from \[-1\] to \[4\]: .*",
        ),
        (
            f'backend: "x" input {{ name: "a" data_type: TYPE_FP32 {"dims: 9223372036854775807 " * 40_000} }}',
            "input 'a' has 40000 dimensions, expected at most 64",
        ),
        (
            f'backend: "x" input {{ name: "a" data_type: TYPE_FP32 dims: 1 reshape {{ {"shape: 3 " * 65} }} }}',
            "input 'a' has 65 dimensions, expected at most 64",
        ),
        (
            'backend: "x" max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 2, 8 ] }',
            "preferred_batch_size 8 is not between 1 and max_batch_size 4",
        ),
        (
            'backend: "x" max_batch_size: 4 dynamic_batching { priority_levels: 2 }',
            "default_priority_level 0 is not between 1 and 2",
        ),
        (
            'backend: "x" max_batch_size: 4 dynamic_batching { priority_levels: 2 default_priority_level: 1'
            " preserve_ordering: true }",
            "preserve_ordering allows one priority level only",
        ),
        ('backend: "x" instance_group { kind: KIND_CPU gpus: 0 }', "instance group 'm_0' is KIND_CPU and names gpus"),
    ],
)
def test_wrong_configurations_are_refused(change: str, complaint: str) -> None:
    config = modelconfig.normalise(modelconfig.parse(change), "m")
    with pytest.raises(ConfigError, match=f"^configuration of model '[mb]': {complaint}$"):
        modelconfig.validate(config)


def test_an_unreadable_text_says_where() -> None:
    with pytest.raises(ConfigError, match=r"^models/tagger/config.pbtxt:3:1 : .*max_btch_size"):
        modelconfig.parse('name: "a"\n\nmax_btch_size: 4', "models/tagger/config.pbtxt")
    with pytest.raises(ConfigError, match=r"^config.pbtxt:1:"):
        modelconfig.parse("name: {")


def test_a_tensor_without_datatype_has_no_spec() -> None:
    with pytest.raises(ConfigError, match="data_type is missing"):
        modelconfig.to_spec(modelconfig.parse('input { name: "a" }'), "1")


def test_every_datatype_both_ways() -> None:
    for dtype in DType:
        assert modelconfig.dtype_of(modelconfig.data_type_of(dtype)) is dtype


def test_text_and_json_come_back() -> None:
    config = modelconfig.normalise(modelconfig.parse(TEXT), "tagger")
    config.dynamic_batching.priority_queue_policy[3].default_timeout_microseconds = 2**40
    assert modelconfig.parse(modelconfig.write(config)) == config
    document = protojson.to_document(config)
    assert protojson.from_document(document, ModelConfig) == config
    assert document["dynamic_batching"]["preferred_batch_size"] == [500]
    assert document["dynamic_batching"]["max_queue_delay_microseconds"] == 100
    assert document["dynamic_batching"]["priority_queue_policy"]["3"]["default_timeout_microseconds"] == 2**40
    assert document["input"][0]["dims"] == [20, 50]
    assert document["parameters"] == {"intra_op_thread_count": {"string_value": "1"}}


def test_configurations_in_use_elsewhere(shared_data: Path) -> None:
    files = sorted((shared_data / "models").glob("*/config.pbtxt"))
    assert files
    for file in files:
        config = modelconfig.normalise(modelconfig.parse(file.read_text(), str(file)), file.parent.name)
        modelconfig.validate(config)
        assert modelconfig.to_spec(config, "1").inputs


def test_json_has_the_names_of_the_text_or_protobufs_own() -> None:
    config = modelconfig.parse("max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 7 }")
    for text in (
        '{"max_batch_size": 4, "dynamic_batching": {"max_queue_delay_microseconds": 7}}',
        '{"maxBatchSize": 4, "dynamicBatching": {"maxQueueDelayMicroseconds": "7"}}',
    ):
        assert modelconfig.parse_json(text, "config") == config


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/passwd", "a/../../x", "..", "a\\\\..\\\\x", "\\0"])
def test_files_outside_the_models_folder_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^default_model_filename '.*' is not in the model's folder$"):
        modelconfig.check_filename(modelconfig.parse(f'default_model_filename: "{name}"'))


def test_files_below_the_models_folder_are_fine() -> None:
    modelconfig.check_filename(modelconfig.parse('default_model_filename: "sub/model..2.onnx"'))
    modelconfig.check_filename(modelconfig.parse(""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "1" * 5000,
        '{"max_batch_size": Infinity}',
        '{"backend": "\\ud800"}',
        '{"parameters": {"a": "\\ud800"}}',
        '{"max_batch_size": "many"}',
        '{"nope": 1}',
    ],
)
def test_what_is_no_json_of_a_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^config: .+$"):
        modelconfig.parse_json(text, "config")
