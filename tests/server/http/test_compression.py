from __future__ import annotations

import gzip
import zlib

import pytest

from sonic.errors import InvalidRequest, Unsupported
from sonic.server.decompression import decompress
from sonic.server.http.compression import compress, plain
from sonic.server.http.head import read_head


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_there_and_back(coding: str) -> None:
    assert decompress(compress([b"one", memoryview(b"two")], coding), coding, 6, "the body") == b"onetwo"


@pytest.mark.parametrize(
    ("content", "coding", "text"),
    [
        (b"plain", "gzip", "the body is not gzip"),
        (b"", "gzip", "not one whole gzip stream"),
        (gzip.compress(b"x", mtime=0)[:-1], "gzip", "not one whole gzip stream"),
        (gzip.compress(b"x", mtime=0) + b"y", "gzip", "not one whole gzip stream"),
        (zlib.compress(bytes(10**6)), "deflate", "of at most 1000 bytes"),
    ],
)
def test_what_is_refused(content: bytes, coding: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        decompress(content, coding, 1000, "the body")


def test_bodies_as_their_head_says() -> None:
    def ask(line: str, body: bytes) -> bytes:
        head = read_head(f"POST / HTTP/1.1\r\n{line}\r\n\r\n".encode())
        return bytes(plain(head, memoryview(body), 1000))

    assert ask("A: b", b"so") == ask("Content-Encoding: Identity", b"so") == b"so"
    assert ask("Content-Encoding: GZIP", gzip.compress(b"so")) == b"so"
    with pytest.raises(Unsupported, match="Unsupported compression type 'br': one of gzip, deflate"):
        ask("Content-Encoding: br", b"")
