from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.server.http import body as bodies
from sonic.server.http.answer import Answer
from sonic.server.http.body import ALIGNMENT, Body, ChunkedBody, UnwantedBody
from sonic.server.http.head import BadMessage


def test_a_body_in_parts() -> None:
    body = Body(10)
    assert body.take(b"..abc", 2, 5) == 5
    assert (body.received, body.complete) == (3, False)
    room = body.room()
    room[:4] = b"defg"
    body.filled(4)
    assert body.take(b"hijKL", 0, 5) == 3  # the rest is of the next request
    assert body.complete
    content = body.content()
    assert (bytes(content), content.readonly) == (b"abcdefghij", True)


@pytest.mark.parametrize("prefix", [0, 1, 15, 16, 151])
def test_tensors_after_the_json_are_aligned(prefix: int) -> None:
    body = Body(prefix + 32, prefix)
    body.take(bytes(prefix + 32), 0, prefix + 32)
    assert np.frombuffer(body.content()[prefix:], np.uint8).ctypes.data % ALIGNMENT == 0


def test_room_follows_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "RESERVE_BYTES", 1000)
    body = Body(10**15, 7)  # nobody has so much memory
    sent = np.random.default_rng(1).bytes(5000)
    assert body.take(sent, 0, 3500) == 3500
    rooms = []
    while body.received < 5000:
        rooms.append(len(body.room()))
        count = min(rooms[-1], 5000 - body.received)
        body.room()[:count] = sent[body.received : body.received + count]
        body.filled(count)
    assert max(rooms) <= 5000
    assert not body.complete
    whole = Body(5000, 7)
    whole.take(sent, 0, 1)
    while not whole.complete:
        count = len(whole.room())
        whole.room()[:] = sent[whole.received : whole.received + count]
        whole.filled(count)
    assert bytes(whole.content()) == sent


CHUNKED = b"5\r\nhello\r\n1;name=value\r\n \r\n00A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


@given(st.lists(st.integers(0, len(CHUNKED) + 4), max_size=8))
def test_chunks_however_they_come(cuts: list[int]) -> None:
    data = CHUNKED + b"NEXT"
    body = ChunkedBody(16)
    consumed = 0
    for start, stop in pairwise(sorted({0, len(data), *cuts})):
        if consumed == start and not body.complete:
            consumed = body.take(data, start, stop)
    assert body.complete
    assert (bytes(body.content()), data[consumed:]) == (b"hello 0123456789", b"NEXT")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\r\n", "size of a chunk is a hexadecimal number, given ''"),
        (b"-1\r\n", "given '-1'"),
        (b"0x5\r\n", "given '0x5'"),
        (b"5 5\r\n", "given '5 5'"),
        (b" 5\r\n", "given ' 5'"),
        (b"1_0\r\n", "given '1_0'"),
        (b"FFFFFFFFFFFFFFFFF\r\n", "hexadecimal number"),
        (b"5\n", "ends in CR LF"),
        (b"5\rx\r\n", "hexadecimal number"),
        (b"2\r\nabc\r\n", "a chunk is longer than it says"),
        (b"11\r\n", "a body holds at most 16 bytes"),
        (b"9\r\n123456789\r\n9\r\n", "a body holds at most 16 bytes"),
        (b"5;" + b"x" * 5000, "at most 4096 bytes"),
        (b"0\r\n" + b"A: b\r\n" * 20_000, "a trailer has at most"),
    ],
)
def test_chunks_that_make_no_sense(data: bytes, text: str) -> None:
    with pytest.raises(BadMessage, match=text):
        ChunkedBody(16).take(data, 0, len(data))


def test_what_is_not_wanted_is_counted_and_not_kept() -> None:
    body = UnwantedBody(10**12, Answer(401))
    assert body.take(bytes(100), 40, 100) == 100
    assert (body.received, body.complete) == (60, False)
    body = UnwantedBody(5, Answer(401))
    assert (body.take(b"123456789", 1, 9), body.complete) == (6, True)
