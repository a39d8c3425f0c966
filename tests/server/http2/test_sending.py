from __future__ import annotations

import pytest

from sonic.server.http2 import Stream, frames
from sonic.server.http2.frames import ConnectionFault, StreamFault
from sonic.server.http2.sending import Sending


def sent(sending: Sending) -> bytes:
    """Return the data that went out since the last time, without the heads of its frames."""
    whole, data, at = b"".join(sending.out), b"", 0
    sending.out.clear()
    while at < len(whole):
        length = int.from_bytes(whole[at : at + 3], "big")
        at += frames.HEAD_BYTES
        data += whole[at : at + length]
        at += length
    return data


def test_what_the_peer_does_not_take_waits_for_its_window() -> None:
    finished: list[int] = []
    sending = Sending(lambda stream: finished.append(stream.id))
    stream = Stream(1, 100, 10)
    sending.data(stream, (b"0123456", b"789abcdef"), b"T")
    assert (sent(sending), stream.queued_bytes, finished) == (b"0123456789", 6, [])
    sending.widen_stream(stream, 4)
    assert (sent(sending), finished) == (b"abcd", [])
    sending.widen_stream(stream, 4)
    assert (sent(sending), finished) == (b"efT", [1])


def test_frames_are_no_larger_than_the_peer_takes() -> None:
    sending = Sending(lambda stream: None)
    sending.frame_bytes = 4
    stream = Stream(1, 100, 100)
    sending.data(stream, (b"0123456789",))
    sizes = [int.from_bytes(head[:3], "big") for head in sending.out if len(head) == frames.HEAD_BYTES]
    assert sizes == [4, 4, 2]


def test_a_stream_that_is_forgotten_sends_nothing_when_the_window_grows() -> None:
    sending = Sending(lambda stream: None)
    first, second = Stream(1, 100, 1 << 20), Stream(3, 100, 1 << 20)
    filler = bytes(frames.DEFAULT_WINDOW)
    for stream in (first, second):
        sending.data(stream, (filler, bytes([stream.id])))
    sent(sending)
    sending.forget(first)
    sending.widen(frames.DEFAULT_WINDOW + 10)
    assert sent(sending).endswith(b"\x03")
    assert (first.queued_bytes, second.queued_bytes) == (0, 0)


@pytest.mark.parametrize("increment", [0, frames.MAX_WINDOW])
def test_windows_that_cannot_be(increment: int) -> None:
    sending = Sending(lambda stream: None)
    with pytest.raises(ConnectionFault):
        sending.widen(increment)
    with pytest.raises(StreamFault):
        sending.widen_stream(Stream(1, 100, 10), increment)
