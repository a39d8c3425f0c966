from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sonic.protocol import records
from sonic.protocol.messages import ModelStatistics, ModelStatus, ServerInfo
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from sonic.specs import ModelSpec


def test_spec(spec: ModelSpec) -> None:
    config = ModelConfig(max_batch_size=8)
    config.input.add(name="b", optional=True)
    message = records.spec_to_wire(spec, ["1", "3"])
    assert records.spec_from_wire(message, config) == spec
    assert records.spec_from_wire(message, config, "1") == replace(spec, version="1")
    assert records.spec_from_wire(records.spec_to_wire(spec, ["9", "10"]), config).version == "10"


def test_statistics_index_and_server_info(statistics: ModelStatistics) -> None:
    rows = (statistics, ModelStatistics("n", "2"))
    assert records.statistics_from_wire(records.statistics_to_wire(rows)) == rows
    index = (ModelStatus("m", "1", "READY"), ModelStatus("n", "2", "UNAVAILABLE", "unloaded"))
    assert records.index_from_wire(records.index_to_wire(index)) == index
    info = ServerInfo("sonic", "1.0", ("statistics",))
    assert records.server_info_from_wire(records.server_info_to_wire(info)) == info
