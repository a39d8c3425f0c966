from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.server.http.head import BadMessage, read_head


def lines(*text: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*text, "")).encode("latin-1")


def test_a_head() -> None:
    raw = lines("POST /v2/models/a%20b/infer?x=1 HTTP/1.1", "Host: h", "Content-Length: 12", "X-A: 1 ", "x-a: 2")
    head = read_head(raw)
    assert (head.method, head.path, head.target) == ("POST", "/v2/models/a%20b/infer", b"/v2/models/a%20b/infer")
    assert (head.query, head.http_version, head.raw) == (b"x=1", "1.1", raw)
    assert (head.length, head.chunked, head.keep_alive, head.expects_continue) == (12, False, True, False)
    assert (head.get(b"x-a"), head.get(b"absent", "?")) == ("1, 2", "?")
    assert head.headers[0] == (b"host", b"h")


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "x, Close", False),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
    ],
)
def test_whether_the_connection_is_kept(version: str, connection: str, keeps: bool) -> None:
    assert read_head(lines(f"GET / HTTP/{version}", f"Connection: {connection}")).keep_alive is keeps


@pytest.mark.parametrize(
    ("target", "path"),
    [("http://h:1/v2?q=1", "/v2"), ("http://h", "/"), ("*", "*"), ("/v2/%2e%2e", "/v2/%2e%2e"), ("//", "//")],
)
def test_targets(target: str, path: str) -> None:
    assert read_head(lines(f"GET {target} HTTP/1.1")).path == path


def test_upgrades_are_passed_over() -> None:
    head = read_head(lines("GET /v2 HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
    assert (head.path, head.keep_alive) == ("/v2", True)


def test_who_waits_to_be_told_to_go_on() -> None:
    expect = "Expect: 100-Continue"
    assert read_head(lines("POST / HTTP/1.1", expect, "Content-Length: 1")).expects_continue
    assert read_head(lines("POST / HTTP/1.1", expect, "Transfer-Encoding: chunked")).expects_continue
    assert not read_head(lines("POST / HTTP/1.1", expect, "Content-Length: 0")).expects_continue
    assert not read_head(lines("POST / HTTP/1.0", expect, "Content-Length: 1")).expects_continue


POST = "POST / HTTP/1.1"


@pytest.mark.parametrize(
    ("raw", "status", "text"),
    [
        (lines(POST, "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "no HTTP request"),
        (lines(POST, "Transfer-Encoding: chunked", "Content-Length: 5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 5", "Content-Length: 5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 5", "Content-Length: 6"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 5, 5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: -5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: +5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 0x5"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 99999999999999999999"), 400, "no HTTP request"),
        (lines(POST, "Content-Length : 5"), 400, "no HTTP request"),
        (lines(POST, "Transfer-Encoding: gzip, chunked"), 400, "Transfer-Encoding is chunked, alone"),
        (lines(POST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "Transfer-Encoding|no HTTP"),
        (lines(POST, "Transfer-Encoding: xchunked"), 400, "Transfer-Encoding|no HTTP"),
        (lines("POST / HTTP/1.0", "Transfer-Encoding: chunked"), 400, "Transfer-Encoding is chunked, alone"),
        (lines(POST, "Expect: wonders"), 417, "Expect is 100-continue, given 'wonders'"),
        (lines("GET /a\0b HTTP/1.1"), 400, "no HTTP request"),
        (lines("GET /a b HTTP/1.1"), 400, "no HTTP request"),
        (lines("CONNECT h:1 HTTP/1.1"), 400, "is no path"),
        (lines("GET / HTTP/0.9"), 505, "HTTP/1.0 and 1.1 are spoken here, given 0.9"),
        (lines("GET / HTTP/7.1"), 400, "no HTTP request"),
        (lines("PRI * HTTP/2.0"), 400, "no HTTP request"),
        (lines("\x16\x03\x01\x02"), 400, "no HTTP request"),
        (lines("GET / HTTP/1.1", "A: b\n\nGET /hidden HTTP/1.1"), 400, "no HTTP request"),
        (lines("GET / HTTP/1.1", "A: b", " folded"), 400, "no HTTP request"),
        (lines(POST, "Content-Length: 3") + b"abc", 400, "does not end where its empty line is"),
        (lines(POST) + lines(POST), 400, "does not end where its empty line is"),
        (lines(POST)[:-2], 400, "does not end where its empty line is"),
    ],
)
def test_heads_that_are_refused(raw: bytes, status: int, text: str) -> None:
    with pytest.raises(BadMessage, match=text) as caught:
        read_head(raw)
    assert caught.value.status == status


@given(st.binary(max_size=200), st.sampled_from([b"", b"GET /", b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA: "]))
def test_any_bytes_are_a_head_or_refused(junk: bytes, begin: bytes) -> None:
    with suppress(BadMessage):
        assert read_head(begin + junk + b"\r\n\r\n").length >= 0
