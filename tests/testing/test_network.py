from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sonic.testing.network import DelayProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def echo_port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


def test_bytes_arrive_whole_and_not_before_the_round_trip(echo_port: int) -> None:
    payload = bytes(range(256)) * 40_000
    with DelayProxy("127.0.0.1", echo_port, round_trip_s=0.05) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        start = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        assert _receive(connection, len(payload)) == payload
        assert time.perf_counter() - start >= 0.05
        sender.join()
        connection.close()


def test_many_messages_are_on_their_way_at_once(echo_port: int) -> None:
    """Fifty messages sent without waiting take one round trip, not fifty."""
    with DelayProxy("127.0.0.1", echo_port, round_trip_s=0.2) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        start = time.perf_counter()
        for number in range(50):
            connection.sendall(bytes([number]) * 10)
        assert _receive(connection, 500) == b"".join(bytes([number]) * 10 for number in range(50))
        assert time.perf_counter() - start < 50 * 0.2
        connection.close()


def test_end_of_stream_is_passed_on(echo_port: int) -> None:
    with DelayProxy("127.0.0.1", echo_port, round_trip_s=0.0) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert _receive(connection, 10) == b"last words"
        assert connection.recv(1) == b""
        connection.close()


def test_a_dead_server_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with DelayProxy("127.0.0.1", port, round_trip_s=0.0) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        connection.settimeout(5)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        connection.close()


def test_close_cuts_what_is_open(echo_port: int) -> None:
    proxy = DelayProxy("127.0.0.1", echo_port, round_trip_s=0.0)
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.sendall(b"x")
    assert _receive(connection, 1) == b"x"
    proxy.close()
    connection.settimeout(5)
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    proxy.close()
    connection.close()
