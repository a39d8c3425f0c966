from __future__ import annotations

import pytest
from hpack import Encoder

from sonic.server.http2 import Error
from sonic.server.http2.frames import ConnectionFault, StreamFault
from sonic.server.http2.headers import HeaderReader, list_bytes, write

PSEUDO = [(":method", "POST"), (":scheme", "http"), (":path", "/one")]
HEADERS = [*PSEUDO, ("content-type", "application/grpc")]


class Reader:
    """Reads blocks, and counts those that had to be decoded."""

    def __init__(self) -> None:
        self.decoded = 0
        self._encoder = Encoder()
        self._reader = HeaderReader(1 << 16, self._meaning)

    def read(self, *headers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return self._reader.read(bytes(self._encoder.encode(headers)), 1)

    def _meaning(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        self.decoded += 1
        return headers


def test_what_comes_again_is_not_decoded_again() -> None:
    reader = Reader()
    for _ in range(10):
        assert reader.read(*HEADERS) == tuple(HEADERS)
    assert reader.decoded == 2  # the first puts the headers into the table, the second refers to them


def test_the_same_bytes_mean_something_else_once_the_table_has_changed() -> None:
    reader = Reader()
    for _ in range(3):
        reader.read(*HEADERS)
    decoded = reader.decoded
    assert reader.read(*PSEUDO, ("new", "header"))[-1] == ("new", "header")
    for _ in range(3):
        assert reader.read(*HEADERS) == tuple(HEADERS)
    assert reader.decoded == decoded + 2  # the new one, and the first after it


def test_a_block_that_changes_the_table_changes_it_each_time() -> None:
    reader = HeaderReader(1 << 16, tuple)
    start = write(PSEUDO)
    put = start + b"\x40\x01a\x01b"  # a: b, into the table, where 62 is the newest
    assert reader.read(put, 1) == reader.read(put, 3) == (*PSEUDO, ("a", "b"))
    assert reader.read(start + b"\xbe\xbf", 5) == (*PSEUDO, ("a", "b"), ("a", "b"))


def test_what_has_left_the_table_means_nothing_any_more() -> None:
    reader = HeaderReader(1 << 16, tuple)
    start = write(PSEUDO)
    reader.read(start + b"\x40\x01a\x01b\x40\x01c\x01d", 1)
    older = start + b"\xbf"
    for stream in (3, 5):
        assert reader.read(older, stream) == (*PSEUDO, ("a", "b"))
    reader.read(b"\x3f\x0f" + start, 7)  # a table of 46 bytes, which one header fits into
    with pytest.raises(ConnectionFault, match="headers that cannot be read"):
        reader.read(older, 9)


def test_a_block_that_is_none_ends_the_connection() -> None:
    with pytest.raises(ConnectionFault, match="headers that cannot be read"):
        HeaderReader(1 << 16, tuple).read(b"\xff" * 40, 1)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        PSEUDO[1:],
        PSEUDO[:2],
        [*PSEUDO[:1], *PSEUDO[2:]],
        [*PSEUDO, (":path", "/two")],
        [*PSEUDO, (":authority", "a"), (":authority", "b")],
        [*PSEUDO, (":status", "200")],
        [*PSEUDO[:2], ("a", "b"), PSEUDO[2]],
        [*PSEUDO, ("Upper", "case")],
        [*PSEUDO, ("", "nameless")],
        [*PSEUDO, ("connection", "close")],
        [*PSEUDO, ("transfer-encoding", "chunked")],
        [*PSEUDO, ("te", "gzip")],
    ],
)
def test_headers_of_no_request_end_their_stream_and_no_other(headers: list[tuple[str, str]]) -> None:
    reader = HeaderReader(1 << 16, tuple)
    for _ in range(2):  # nor are they remembered as those of one
        with pytest.raises(StreamFault) as fault:
            reader.read(write(headers), 7)
        assert (fault.value.code, fault.value.stream) == (Error.PROTOCOL_ERROR, 7)
    assert reader.read(write(HEADERS), 9) == tuple(HEADERS)


def test_what_a_request_ends_with_has_no_path() -> None:
    reader = HeaderReader(1 << 16, tuple)
    assert reader.read(write([("checksum", "1")]), 1, trailers=True) == (("checksum", "1"),)
    assert reader.read(write(HEADERS), 3) == tuple(HEADERS)
    with pytest.raises(StreamFault):
        reader.read(write(HEADERS), 3, trailers=True)
    with pytest.raises(StreamFault):
        reader.read(write([("checksum", "1")]), 5)


def test_what_is_larger_than_asked_for_is_read_but_not_without_end() -> None:
    encoder, reader = Encoder(), HeaderReader(1000, list_bytes)
    assert reader.read(bytes(encoder.encode([*HEADERS, ("new", "header"), ("long", "x" * 1000)])), 1) > 1000
    assert reader.read(bytes(encoder.encode([*HEADERS, ("new", "header")])), 3) < 1000
    with pytest.raises(ConnectionFault):
        reader.read(bytes(encoder.encode([*HEADERS, ("long", "x" * 4000)])), 5)
