"""A server that does nothing but answer: any request for inference, over HTTP/1.1 or gRPC, with the same bytes.

A load generator comes near its own limit with it. Prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

import numpy as np
import uvloop

from sonic.protocol import grpc_codec, http_codec
from sonic.protocol.form import ALL_BINARY
from sonic.protocol.messages import InferResponse
from sonic.server.http2.frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PREFACE,
    SETTINGS,
    SETTINGS_ACK,
    frame,
    settings,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = InferResponse("echo", "1", {"y": np.zeros((1, 16), np.float32)})


class Http(asyncio.Protocol):
    """Answers every request, of which all are as long as the first."""

    def __init__(self) -> None:
        parts, header_length = http_codec.response_to_wire(ANSWER, ALL_BINARY)
        body = b"".join(parts)
        head = f"HTTP/1.1 200 OK\r\n{http_codec.HEADER_LENGTH}: {header_length}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._answer = head.encode() + body
        self._length = 0
        self._got = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        if not self._length:
            head, _, _ = data.partition(b"\r\n\r\n")
            (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self._length = len(head) + 4 + int(length[15:])
        self._got += len(data)
        while self._got >= self._length:
            self._got -= self._length
            self._transport.write(self._answer)


class Grpc(asyncio.Protocol):
    """Answers every stream when its last frame has come."""

    def __init__(self) -> None:
        message = grpc_codec.response_to_wire(ANSWER)
        body = b"\0" + len(message).to_bytes(4, "big") + message
        parts = (
            frame(HEADERS, END_HEADERS, 0, b"\x88\x0f\x10\x10application/grpc"),  # :status 200, content-type
            frame(DATA, 0, 0, body),
            frame(HEADERS, END_HEADERS | END_STREAM, 0, b"\x00\x0bgrpc-status\x010"),
        )
        (self._a, a), (self._b, b), (self._c, self._d) = ((part[:5], part[9:]) for part in parts)
        self._between = a + self._b, b + self._c
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say that there is room for whatever may come."""
        self._transport = transport
        transport.write(settings({INITIAL_WINDOW_SIZE: MAX_WINDOW}) + window_update(0, MAX_WINDOW - DEFAULT_WINDOW))

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        data = self._rest + data
        at = len(PREFACE) if data.startswith(PREFACE) else 0
        while len(data) - at >= 9:
            stop = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if stop > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == DATA and flags & END_STREAM:
                stream = data[at + 5 : at + 9]
                answer = stream.join((self._a, *self._between, self._d))
                self._transport.write(answer)
            elif kind == SETTINGS and not flags & ACK:
                self._transport.write(SETTINGS_ACK)
            at = stop
        self._rest = data[at:]


async def _serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["http", "grpc"])
    uvloop.run(_serve(Http if parser.parse_args().kind == "http" else Grpc))


if __name__ == "__main__":
    main()
