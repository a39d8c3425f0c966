from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.url import connect, parse_server
from sonic.protocol.messages import InferRequest
from sonic.specs import DType
from sonic.testing.conformance import KINDS, WAIT_S

if TYPE_CHECKING:
    from sonic.server.app import Server


class Meter:
    """A relay that counts the bytes of both directions."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sent = self.received = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._relay, args=(near, far, "sent"), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near, "received"), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, name: str) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                setattr(self, name, getattr(self, name) + len(data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)


def zeros() -> InferRequest:
    inputs = {
        spec.name: np.full(5000, b"", object) if spec.dtype is DType.BYTES else np.zeros(5000, spec.dtype.numpy)
        for spec in KINDS.inputs
    }
    return InferRequest("kinds", inputs, dtypes={"in_BF16": DType.BF16})


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_fewer_bytes_go_over_the_line(server: Server, scheme: str, compression: str) -> None:
    url = getattr(server, f"{scheme}_url")
    meter = Meter(int(url.rsplit(":", 1)[1]))
    transport = connect(parse_server(f"{scheme}://127.0.0.1:{meter.port}?compression={compression}"))
    try:
        request = zeros()
        whole_bytes = sum(array.nbytes for array in request.inputs.values())
        answer = transport.submit(request).result(WAIT_S)
        assert not np.any(answer.outputs["out_FP64"])
        assert answer.outputs["out_FP64"].shape == (5000,)
        assert 0 < meter.sent < whole_bytes / 4
        if scheme == "http":  # over gRPC it is for the server to say whether its answers are compressed
            assert 0 < meter.received < whole_bytes / 4
    finally:
        transport.close()
        meter.close()
