from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse, to_spec
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup
from sonic.server.backends import Signature
from sonic.server.backends.completion import complete, with_instances
from sonic.specs import DType, TensorSpec

BATCH = Signature(
    (TensorSpec("x", DType.FP32, (-1, 4)), TensorSpec("k", DType.INT64, (-1, -1))),
    (TensorSpec("y", DType.FP32, (-1, 2)), TensorSpec("z", DType.BYTES, (-1, 1))),
    batch=True,
)
FIXED = Signature((TensorSpec("x", DType.FP32, (3, 4)),), (TensorSpec("y", DType.FP32, (3, 2)),), batch=False)
X = 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }'
K = 'input { name: "k" data_type: TYPE_INT64 dims: [ -1 ] }'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }'


def make(text: str = "", signature: Signature | None = BATCH, **more: int) -> object:
    return complete(parse(f'backend: "onnxruntime" {text}'), "m", signature, **more)


def test_without_a_word_it_batches() -> None:
    config = make(default_max_batch=32)
    assert (config.name, config.platform, config.max_batch_size) == ("m", "onnxruntime_onnx", 32)
    assert list(config.dynamic_batching.preferred_batch_size) == [32]
    spec = to_spec(config, "1")
    assert spec.inputs == BATCH.inputs
    assert spec.outputs == BATCH.outputs


def test_a_file_that_cannot_batch_does_not() -> None:
    config = make(signature=FIXED)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert to_spec(config, "1").inputs == FIXED.inputs


def test_a_batch_of_one_is_not_merged() -> None:
    assert not make(default_max_batch=1).HasField("dynamic_batching")


def test_a_batch_that_is_said_alone_is_merged() -> None:
    assert list(make("max_batch_size: 8").dynamic_batching.preferred_batch_size) == [8]
    assert not make("max_batch_size: 1").HasField("dynamic_batching")
    assert not make(f"max_batch_size: 8 {X} {K} {Y}").HasField("dynamic_batching")


@pytest.mark.parametrize(("shape", "skip"), [((-1,), 1), ((), 0)])
def test_numbers_are_vectors_of_one_to_clients(shape: tuple[int, ...], skip: int) -> None:
    number = (TensorSpec("n", DType.FP32, shape),)
    config = make(signature=Signature(number, number, batch=bool(skip)))
    for (tensor,) in (config.input, config.output):
        assert (list(tensor.dims), tensor.HasField("reshape"), list(tensor.reshape.shape)) == ([1], True, [])
    assert to_spec(config, "1").outputs == (TensorSpec("n", DType.FP32, (*shape, 1)),)


def test_what_is_said_stays() -> None:
    config = make("max_batch_size: 500 dynamic_batching { preferred_batch_size: 200 max_queue_delay_microseconds: 7 }")
    assert config.max_batch_size == 500
    assert list(config.dynamic_batching.preferred_batch_size) == [200]
    assert [list(tensor.dims) for tensor in config.input] == [[4], [-1]]


def test_tensors_that_are_said_mean_no_batch_is_added() -> None:
    x, k, y = (text.replace("dims: [", "dims: [ -1,") for text in (X, K, Y))
    config = make(f"{x} {k} {y}")
    assert config.max_batch_size == 0


def test_one_half_is_completed() -> None:
    config = make(f"max_batch_size: 8 {X} {K}")
    assert [tensor.name for tensor in config.output] == ["y", "z"]


def test_outputs_may_be_left_out_and_reshaped() -> None:
    y = 'output { name: "y" data_type: TYPE_FP32 dims: [ 2, 1 ] reshape { shape: [ 2 ] } }'
    assert to_spec(make(f"max_batch_size: 8 {X} {K} {y}"), "1").outputs == (TensorSpec("y", DType.FP32, (-1, 2, 1)),)


def test_a_backend_that_knows_nothing_believes() -> None:
    assert make(f"{X} {Y}", signature=None).max_batch_size == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name: "other"', "it is named 'other', unlike its folder"),
        (f"max_batch_size: 8 {X} {Y}", "it leaves out input 'k' of the file"),
        (
            f'max_batch_size: 8 {X} {K} output {{ name: "q" data_type: TYPE_FP32 dims: 2 }}',
            "no output 'q', it has y, z",
        ),
        (f"max_batch_size: 8 {X} {K} {Y.replace('FP32', 'FP64')}", "output 'y' is FP64, in the file FP32"),
        (f"max_batch_size: 8 {X.replace('4', '5')} {K} {Y}", r"input 'x' has dims \[5\], in the file \[4\]"),
        (f"max_batch_size: 8 {X.replace('4', '4, 1')} {K} {Y}", r"input 'x' has dims \[4, 1\], in the file \[4\]"),
        ("max_batch_size: -1", "max_batch_size is -1"),
        ("max_batch_size: 8 dynamic_batching { preferred_batch_size: 9 }", "preferred_batch_size 9 is not between"),
        ("sequence_batching {}", "sequence_batching is not offered"),
        ("batch_input { target_name: 'n' }", "has one source_input, given 0"),
        ("model_transaction_policy { decoupled: true }", "decoupled"),
        (
            f"max_batch_size: 8 {X.replace('name', 'allow_ragged_batch: true name')} {K} {Y}",
            r"ragged input 'x' reaches the model as \[-1\], in the file it is \[-1, 4\]",
        ),
    ],
)
def test_what_makes_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make(text)


def test_a_fixed_file_does_not_batch_on_command() -> None:
    with pytest.raises(
        ConfigError, match=r"max_batch_size is 8, but input 'x' of the file has the fixed shape \[3, 4\]"
    ):
        make("max_batch_size: 8", signature=FIXED)


def test_the_instances_there_are() -> None:
    config = with_instances(make("instance_group { count: 64 kind: KIND_GPU }"), [None, None])
    (group,) = config.instance_group
    assert (group.name, group.kind, group.count) == ("m_0", ModelInstanceGroup.KIND_CPU, 2)


def test_instances_on_several_devices() -> None:
    groups = with_instances(make("instance_group {}"), [None, 0, None, 1, 1]).instance_group
    assert [(g.name, g.kind, g.count, list(g.gpus)) for g in groups] == [
        ("m_0", ModelInstanceGroup.KIND_CPU, 2, []),
        ("m_1", ModelInstanceGroup.KIND_GPU, 1, [0]),
        ("m_2", ModelInstanceGroup.KIND_GPU, 2, [1]),
    ]
