"""Requests in a file are those that were sent, and a file that lies is found out."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import DataError
from sonic.protocol.form import Placement, Span
from sonic.protocol.grpc_codec import request_to_wire
from sonic.protocol.messages import InferRequest
from sonic.protocol.recording import decode, encode, spans
from sonic.protocol.tensors import same_bits
from sonic.testing.strategies import infer_requests


@given(st.lists(st.tuples(infer_requests(), st.integers(1, 2**62)), max_size=4))
def test_requests_are_read_as_they_were_written(sent) -> None:
    data = b"".join(encode(request, sent_ns) for request, sent_ns in sent)
    found, rest = spans(data)
    assert rest == 0
    for (begin, end), (request, sent_ns) in zip(found, sent, strict=True):
        again, when_ns = decode(data[begin:end])
        assert when_ns == sent_ns
        assert (again.model, again.version, again.id, again.outputs) == (
            request.model,
            request.version,
            request.id,
            request.outputs,
        )
        assert dict(again.parameters) == dict(request.parameters)
        for name, array in request.inputs.items():
            assert same_bits(again.inputs[name], array)


def test_what_a_killed_writer_left_is_cut_off() -> None:
    whole = encode(InferRequest("m", {"x": np.arange(3.0)}), 1)
    for length in range(1, len(whole)):
        found, rest = spans(whole + whole[:length])
        assert found == [(1, len(whole))]
        assert rest == length


@given(st.binary(max_size=200))
def test_any_bytes_are_spans_and_a_rest(data: bytes) -> None:
    found, rest = spans(data)
    assert all(0 < begin <= end <= len(data) - rest for begin, end in found)
    for begin, end in found:
        with suppress(DataError):
            decode(data[begin:end])


def test_a_message_of_something_else_is_refused() -> None:
    with pytest.raises(DataError, match="no recorded request"):
        decode(b"\x08\x01\xff")


def test_a_request_whose_tensors_are_elsewhere_is_refused() -> None:
    placement = Placement({"x": Span("events", 0, 24)}, {}, regions=None)  # type: ignore[arg-type] - not read
    message = request_to_wire(InferRequest("m", {"x": np.arange(3.0)}), placement)
    with pytest.raises(DataError, match=r"no recorded request: .*shared memory is not offered"):
        decode(message)
