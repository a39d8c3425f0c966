from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol.form import BYTE_SIZE, CLASSES, OFFSET, REGION, Form, FormReader, Place, Span, span_of

VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
PLACED = st.dictionaries(st.sampled_from([REGION, OFFSET, BYTE_SIZE, CLASSES, "binary_data", "other"]), VALUES)
CLASSED = st.fixed_dictionaries({CLASSES: st.integers(0, 9)}, optional={"binary_data": st.booleans(), "other": VALUES})


class Memory:
    def __init__(self) -> None:
        self.content = bytearray(16)

    def view(self, span: Span) -> memoryview:
        return memoryview(self.content)[span.offset : span.offset + span.byte_size]


@given(PLACED | CLASSED)
def test_any_parameters_end_in_a_form_or_in_one_error(parameters: dict[str, Any]) -> None:
    try:
        span = span_of(parameters)
    except InvalidRequest as error:
        assert REGION in str(error) or OFFSET in str(error) or BYTE_SIZE in str(error)  # noqa: PT017 - one of three
    else:
        assert (span is None) is (parameters.get(REGION) is None)
        assert span is None or (0 <= span.offset < 2**64 and 0 <= span.byte_size < 2**64)
    reader = FormReader(None)
    try:
        reader.read("y", parameters)
    except (InvalidRequest, Unsupported) as error:
        assert str(error).startswith("output 'y': ")  # noqa: PT017
    else:
        assert reader.form().places == {}
        assert reader.classes == ({"y": parameters[CLASSES]} if parameters.get(CLASSES) else {})


@given(st.binary(max_size=40), st.integers(0, 16), st.integers(0, 16))
def test_an_output_stays_in_its_place(content: bytes, offset: int, size: int) -> None:
    memory = Memory()
    span = Span("r", offset, size)
    form = Form(places={"y": Place(span, memory.view(Span("r", offset, min(size, 16 - offset))))})
    assert form.put("z", content) is None
    if len(content) > size:
        with pytest.raises(InvalidRequest, match=rf"'y' \({size} bytes\) should be at least {len(content)} bytes"):
            form.put("y", content)
        assert memory.content == bytes(16)
    elif offset + size <= 16:
        assert form.put("y", content) == {REGION: "r", BYTE_SIZE: len(content), **({OFFSET: offset} if offset else {})}
        assert memory.content == bytes(offset) + content + bytes(16 - offset - len(content))
