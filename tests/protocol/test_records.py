from __future__ import annotations

from dataclasses import replace

from sonic.protocol import records
from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics, ModelStatus, ServerInfo
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.specs import DType, ModelSpec, TensorSpec

BATCHES = tuple(BatchStatistics(n, Duration(n, 1), Duration(n, 2), Duration(n, 3)) for n in (1, 8))
SPEC = ModelSpec(
    "m",
    "3",
    (TensorSpec("a", DType.FP32, (-1, 4)), TensorSpec("b", DType.BYTES, (-1, 1), optional=True)),
    (TensorSpec("y", DType.BF16, (-1, -1)),),
    max_batch_size=8,
    platform="onnxruntime_onnx",
)


def test_spec() -> None:
    config = ModelConfig(max_batch_size=8)
    config.input.add(name="b", optional=True)
    message = records.spec_to_wire(SPEC, ["1", "3"])
    assert records.spec_from_wire(message, config) == SPEC
    assert records.spec_from_wire(message, config, "1") == replace(SPEC, version="1")
    assert records.spec_from_wire(records.spec_to_wire(SPEC, ["9", "10"]), config).version == "10"


def test_statistics_index_and_server_info() -> None:
    rows = (
        ModelStatistics("m", "1", 10, 4, *(Duration(n, n * 2**40) for n in range(8)), 2**41, BATCHES),
        ModelStatistics("n", "2"),
    )
    assert records.statistics_from_wire(records.statistics_to_wire(rows)) == rows
    index = (ModelStatus("m", "1", "READY"), ModelStatus("n", "2", "UNAVAILABLE", "unloaded"))
    assert records.index_from_wire(records.index_to_wire(index)) == index
    info = ServerInfo("sonic", "1.0", ("statistics",))
    assert records.server_info_from_wire(records.server_info_to_wire(info)) == info
