from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest
from sonic.protocol import rawfields
from sonic.protocol.proto import grpc_service_pb2 as pb


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=9))
def test_agrees_with_protobuf(raw: list[bytes], name: str) -> None:
    joined = rawfields.join_raw(pb.ModelInferRequest(model_name=name).SerializeToString(), raw, 7)
    whole = pb.ModelInferRequest(model_name=name, raw_input_contents=raw)
    assert pb.ModelInferRequest.FromString(joined) == whole
    header, views = rawfields.split_raw(whole.SerializeToString(), 7)
    assert [bytes(view) for view in views] == raw
    assert pb.ModelInferRequest.FromString(header) == pb.ModelInferRequest(model_name=name)


def test_finds_the_field_between_others() -> None:
    data = b"\x3a\x01a" + b"\x0a\x01m" + b"\x48\x05" + b"\x51" + bytes(8) + b"\x3a\x01b" + b"\x5d" + bytes(4)
    header, views = rawfields.split_raw(data, 7)
    assert [bytes(view) for view in views] == [b"a", b"b"]
    assert header == b"\x0a\x01m" + b"\x48\x05" + b"\x51" + bytes(8) + b"\x5d" + bytes(4)


@given(st.binary(max_size=40))
def test_any_bytes_end_in_parts_or_in_one_error(data: bytes) -> None:
    with suppress(InvalidRequest):
        header, views = rawfields.split_raw(data, 7)
        assert len(header) + sum(len(view) for view in views) <= len(data)


@pytest.mark.parametrize(
    "data", [b"\x3a\x05abc", b"\x0a", b"\x3a" + b"\xff" * 20, b"\x3a" + b"\x80" * 10 + b"\0", b"\x0b\x0c"]
)
def test_broken_messages_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        rawfields.split_raw(data, 7)


def test_a_message_of_countless_fields_is_refused_before_it_takes_the_memory() -> None:
    for field in (b"\x3a\x00", b"\x08\x00"):
        rawfields.split_raw(field * rawfields.MAX_FIELDS, 7)
        with pytest.raises(InvalidRequest, match="a message has at most 65536 fields"):
            rawfields.split_raw(field * 10**7, 7)


def test_more_than_protobuf_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawfields, "MAX_BYTES", 10)
    with pytest.raises(InvalidRequest, match="at most 10 bytes, given 11"):
        rawfields.join_raw(b"", [b"123456789"], 7)


def test_spans_say_where_the_contents_are() -> None:
    data = b"\x0a\x01m" + b"\x3a\x02ab" + b"\x48\x05" + b"\x3a\x00"
    assert rawfields.spans(data, 7) == [(3, 5, 7), (9, 11, 11)]
