from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import InvalidRequest, RateLimited, Unauthenticated, Unavailable
from sonic.server.http.answer import JSON, Answer, refusal
from sonic.server.http.head import BadMessage

if TYPE_CHECKING:
    from sonic.errors import SonicError


def test_a_small_answer_is_one_piece() -> None:
    (piece,) = Answer(200, JSON, [b"{", memoryview(b"}")]).wire(b"Date: now\r\n")
    assert piece == (b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    assert Answer(200, parts=[b"abc"]).wire(b"", bodiless=True) == [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"]


def test_the_parts_of_a_large_answer_are_sent_as_they_are() -> None:
    tensor = memoryview(bytearray(100_000))
    head, *parts = Answer(200, parts=[b"json", tensor]).wire(b"")
    assert bytes(head).endswith(b"Content-Length: 100004\r\n\r\n")
    assert parts[1] is tensor


@pytest.mark.parametrize(
    ("error", "status", "field"),
    [
        (InvalidRequest("so"), "400 Bad Request", ""),
        (Unavailable("so"), "503 Service Unavailable", ""),
        (Unauthenticated("so"), "401 Unauthorized", "WWW-Authenticate: Bearer"),
        (RateLimited("so", 1.2), "429 Too Many Requests", "Retry-After: 2"),
        (BadMessage("so", 431), "431 Request Header Fields Too Large", ""),
    ],
)
def test_errors(error: SonicError, status: str, field: str) -> None:
    wire = b"".join(refusal(error).wire(b"")).decode()
    assert wire.startswith(f"HTTP/1.1 {status}\r\n")
    assert f"\r\n{field}" in wire
    assert "so" in wire.partition("\r\n\r\n")[2]
