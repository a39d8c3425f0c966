from __future__ import annotations

import pytest
from hpack import Encoder

from sonic.server.http2.frames import ConnectionFault
from sonic.server.http2.headers import HeaderReader

HEADERS = [(":path", "/one"), ("content-type", "application/grpc")]


class Reader:
    """Reads blocks, and counts those that had to be decoded."""

    def __init__(self) -> None:
        self.decoded = 0
        self._encoder = Encoder()
        self._reader = HeaderReader(1 << 16, self._meaning)

    def read(self, *headers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return self._reader.read(bytes(self._encoder.encode(headers)))

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
    assert reader.read(("new", "header")) == (("new", "header"),)
    for _ in range(3):
        assert reader.read(*HEADERS) == tuple(HEADERS)
    assert reader.decoded == decoded + 2  # the new one, and the first after it


def test_a_block_that_is_none_ends_the_connection() -> None:
    with pytest.raises(ConnectionFault, match="headers that cannot be read"):
        HeaderReader(1 << 16, tuple).read(b"\xff" * 40)
