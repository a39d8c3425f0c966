from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sonic.errors import InvalidRequest, ModelFailed
from sonic.protocol import documents
from sonic.protocol.messages import ModelStatus, ServerInfo
from sonic.protocol.proto.model_config_pb2 import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.protocol.messages import ModelStatistics
    from sonic.specs import ModelSpec


def test_documents_are_read_by_their_form() -> None:
    assert documents.decode(documents.encode({"a": [1, None]})) == {"a": [1, None]}
    assert documents.decode_as(b'{"x": [NaN, -Infinity]}', dict[str, list[float]], "numbers")["x"][1] == float("-inf")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"x": "a"}', "Expected `float`, got `str`"),
        (b'{"x": "NaN"}', "Expected `float`, got `str`"),
        (b'{"x": NaN, "y": "a"}', "Expected `float`, got `str`"),
        (b'{"x": NaN', "failed to parse the JSON buffer: JSON is malformed"),
        (b'{"x": NaN, "\\ud800": NaN}', "failed to parse the JSON buffer: JSON is malformed"),
        (b"\x80", ".*"),
        (b"[" * 100_000, ".*"),
    ],
)
def test_what_has_another_form_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^the body is not numbers: {reason}"):
        documents.decode_as(body, dict[str, float], "numbers")


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (documents.server_info_from_wire, b"<html>"),
        (documents.server_info_from_wire, b"[]"),
        (documents.config_from_wire, b"[]"),
        (documents.statistics_from_wire, b"[]"),
        (documents.index_from_wire, b"<html>"),
        (documents.index_from_wire, b'{"error": "no"}'),
    ],
)
def test_the_other_end_is_blamed_for_its_own_faults(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(ModelFailed, match=r"^the server"):
        read(body)


def test_errors_come_back() -> None:
    assert documents.error_from_wire(documents.error_to_wire(InvalidRequest("no such input"))) == "no such input"
    assert documents.error_from_wire(b"<html>\n <b>502</b> Bad Gateway\n") == "<html> <b>502</b> Bad Gateway"


def test_an_error_of_anybody_can_be_read() -> None:
    assert documents.error_from_wire(b'{"error": ' + b"[" * 100_000).startswith('{"error": [[[')


def test_what_is_said_of_servers_and_models_comes_back(spec: ModelSpec, statistics: ModelStatistics) -> None:
    config = ModelConfig(name="m", max_batch_size=8)
    config.input.add(name="b", optional=True, dims=[2**40])
    config.dynamic_batching.max_queue_delay_microseconds = 100
    assert documents.spec_from_wire(documents.spec_to_wire(spec, ["3"]), documents.config_to_wire(config)) == spec
    assert documents.config_from_wire(documents.config_to_wire(config)) == config
    assert json.loads(documents.config_to_wire(config))["input"][0]["dims"] == [2**40]

    rows = (statistics,)
    assert documents.statistics_from_wire(documents.statistics_to_wire(rows)) == rows
    stats = json.loads(documents.statistics_to_wire(rows))["model_stats"][0]
    assert stats["inference_stats"]["queue"] == {"count": 2, "ns": 2**41}

    index = (ModelStatus("m", "1", "READY"), ModelStatus("n", "2", "UNAVAILABLE", "unloaded"))
    assert documents.index_from_wire(documents.index_to_wire(index)) == index
    ready, gone = json.loads(documents.index_to_wire(index))
    assert ready == {"name": "m", "version": "1", "state": "READY"}
    assert gone["reason"] == "unloaded"
    info = ServerInfo("sonic", "1.0", ("statistics",))
    assert documents.server_info_from_wire(documents.server_info_to_wire(info)) == info
