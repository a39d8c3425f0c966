from __future__ import annotations

import gzip
import struct
import zlib
from urllib.parse import unquote

import hpack
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sonic.errors import InvalidRequest, ModelFailed, ModelNotFound, Unsupported
from sonic.server.grpc import wire

HEAD = ((":method", "POST"), (":path", "/a/b"), ("content-type", "application/grpc+proto"))


def framed(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BL", flag, len(message)) + message


def read(block: bytes) -> dict[str, str]:
    return dict(hpack.Decoder().decode(block))


# ---- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("1H", 3600), ("2M", 120), ("3S", 3), ("40m", 0.04), ("5u", 5e-6), ("99999999n", 0.099999999)]
)
def test_timeouts(text: str, seconds: float) -> None:
    assert wire.read_head((*HEAD, ("grpc-timeout", text))).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "S", "-1S", "123456789S", "1s", "\u0661S"])
def test_what_is_no_timeout(text: str) -> None:
    head = wire.read_head((*HEAD, ("grpc-timeout", text)))
    assert "grpc-timeout" in head.fault


def test_too_much_metadata_is_the_fault_of_its_call() -> None:
    assert wire.read_head((*HEAD, ("some", "x" * 65_000))).fault == ""
    assert "at most 65536 bytes" in wire.read_head((*HEAD, ("some", "x" * 65_536))).fault


def test_who_asks() -> None:
    head = wire.read_head((*HEAD, ("authorization", "Bearer x"), ("grpc-encoding", "gzip")))
    assert (head.path, head.authorization, head.encoding, head.status) == ("/a/b", "Bearer x", "gzip", 200)
    for value, ends in (("true", True), ("false", False)):
        assert wire.read_head((*HEAD, ("triton_grpc_error", value))).ends_in_errors is ends
    assert wire.read_head(()).status == 405
    assert wire.read_head(HEAD[:2]).status == 415


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/grpc", 200),
        ("application/grpc+json", 200),
        ("application/grpc;charset=utf-8", 200),
        ("application/grpc-web", 415),
        ("application/grpc-web+proto", 415),
        ("application/json", 415),
    ],
)
def test_what_is_grpc(kind: str, status: int) -> None:
    assert wire.read_head((*HEAD[:2], ("content-type", kind))).status == status


def test_how_a_call_ends() -> None:
    assert read(wire.DONE) == {"grpc-status": "0"}
    text = "no model 'µ' at 100%\nor so"
    ended = read(wire.failure(ModelNotFound(text), opened=True))
    assert ended == {"grpc-status": "5", "grpc-message": "no model '%C2%B5' at 100%25%0Aor so"}
    alone = read(wire.failure(Unsupported("x" * 5000), opened=False))
    assert (alone[":status"], alone["content-type"]) == ("200", "application/grpc")
    assert (len(alone["grpc-message"]), alone["grpc-accept-encoding"]) == (2000, "identity,gzip,deflate")


@pytest.mark.parametrize("character", ["x", "\n", "µ", "漢", "\U0001f44d"])
def test_an_error_of_any_length_and_script_fits_into_a_header(character: str) -> None:
    written = read(wire.failure(ModelFailed("x" + character * 5000), opened=True))["grpc-message"]
    assert len(written) <= 6000
    assert unquote(written, errors="strict") == "x" + character * (1999 // len(character.encode()))


# ---- messages -------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9000), max_size=5), st.lists(st.integers(1, 9000), min_size=1))
def test_messages_come_out_as_they_went_in(messages: list[bytes], pieces: list[int]) -> None:
    inbox = wire.Inbox(10_000)
    data, out, turn = memoryview(b"".join(framed(message) for message in messages)), [], 0
    while data:
        out += inbox.feed([data[: pieces[turn % len(pieces)]]])
        data, turn = data[pieces[turn % len(pieces)] :], turn + 1
    assert [(bytes(message.data), message.compressed) for message in out] == [(m, False) for m in messages]
    assert inbox.empty


def test_a_message_longer_than_what_is_taken_at_once() -> None:
    size = 3 * wire._AT_ONCE_BYTES
    content = np.arange(size // 4, dtype=np.int32).tobytes()
    inbox = wire.Inbox(2**31 - 1)
    data, out = memoryview(framed(content)), []
    for start in range(0, len(data), 5_000_001):
        out += inbox.feed([data[start : start + 5_000_001]])
    (message,) = out
    assert message.data == content


def test_a_claim_costs_little() -> None:
    inbox = wire.Inbox(2**31 - 1)
    assert list(inbox.feed([memoryview(struct.pack(">BL", 0, 2**31 - 1) + b"x")])) == []
    assert inbox._buffer is not None
    assert len(inbox._buffer) <= wire._AT_ONCE_BYTES
    assert not inbox.empty


def test_the_end_of_a_long_message_is_aligned() -> None:
    tensor = np.arange(30_000, dtype=np.float64)
    for header in range(40):
        (message,) = wire.Inbox(10**6).feed([memoryview(framed(b"h" * header + tensor.tobytes()))])
        view = np.frombuffer(memoryview(message.data)[header:], np.float64)
        assert view.flags.aligned
        np.testing.assert_array_equal(view, tensor)


@pytest.mark.parametrize("data", [struct.pack(">BL", 2, 1) + b"x", struct.pack(">BL", 0, 101)])
def test_what_begins_no_message(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        list(wire.Inbox(100).feed([memoryview(data)]))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_messages(encoding: str, pack: object) -> None:
    assert callable(pack)
    inbox = wire.Inbox(1000, encoding)
    (message,) = inbox.feed([memoryview(framed(pack(b"a" * 1000), 1))])
    assert message.compressed
    assert message.content() == b"a" * 1000
    for wrong in (pack(b"a" * 1001), pack(b"a")[:-1], pack(b"a") + b"x", b"junk"):
        with pytest.raises(InvalidRequest, match=encoding):
            compressed(wrong, encoding).content()
    with pytest.raises(Unsupported, match="one of gzip, deflate"):
        compressed(b"", "snappy").content()


def compressed(data: bytes, encoding: str) -> wire.Message:
    return wire.Message(data, compressed=True, encoding=encoding, max_bytes=1000)
