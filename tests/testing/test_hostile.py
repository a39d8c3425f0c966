"""What is drawn is of both kinds: some a server has to take, some it has to refuse."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, SonicError, Unsupported
from sonic.protocol import grpc_codec, http_codec, modelconfig
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.testing import hostile

found = partial(find, settings=settings(phases=[Phase.generate], max_examples=2000, deadline=None))
MODELS = {"numbers": {"a": "FP32", "b": "INT64"}, "texts": {"a": "BYTES"}}


def taken(drawn: tuple[dict[str, Any], bytes]) -> bool:
    document, tail = drawn
    head = json.dumps(document).encode()
    try:
        request, _ = http_codec.request_from_wire(head + tail, len(head), "m")
    except (InvalidRequest, Unsupported):
        return False
    return len(request.inputs) == 2


def test_infer_requests() -> None:
    drawn = hostile.infer_documents(MODELS["numbers"])
    document, tail = found(drawn, taken)
    assert {tensor["name"] for tensor in document["inputs"]} == {"a", "b"}
    found(drawn, lambda given: not taken(given))
    data = hostile.infer_message(document, tail).SerializeToString()
    assert list(grpc_codec.request_from_wire(data)[0].inputs) == ["a", "b"]


@given(hostile.exchanges(MODELS, ("r",)))
def test_exchanges_can_be_sent(exchange: hostile.Exchange) -> None:
    assert exchange.target.startswith("/")
    head = f"{exchange.method} {exchange.target} HTTP/1.1\r\n" + "".join(exchange.headers.values())
    assert head.isascii()
    assert head.count("\n") == 1
    assert " " not in exchange.target


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_some_are_compressed(encoding: str) -> None:
    def is_so(exchange: hostile.Exchange) -> bool:
        return exchange.headers.get("Content-Encoding") == encoding

    found(hostile.exchanges(MODELS), is_so)


@given(hostile.calls(MODELS, ("r",)))
def test_calls_are_of_methods_that_there_are(call: hostile.Call) -> None:
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert call.method in service.methods_by_name


def test_configurations() -> None:
    def loads(text: str) -> bool:
        try:
            modelconfig.validate(modelconfig.normalise(modelconfig.parse_json(text, "x"), "m"))
        except SonicError:
            return False
        return True

    found(hostile.configs(), loads)
    found(hostile.configs(), lambda text: not loads(text))
    found(hostile.messages(ModelConfig), lambda config: len(config.input) > 0)


@given(st.binary(max_size=30).flatmap(lambda whole: st.tuples(st.just(whole), hostile.damaged(whole))))
def test_damage_is_small(both: tuple[bytes, bytes]) -> None:
    whole, after = both
    assert abs(len(whole) - len(after)) <= 3 * 9


def test_json_that_strict_readers_refuse() -> None:
    found(hostile.json_bodies(hostile.json_values), lambda body: b"NaN" in body)
