from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sonic.study.conditions import Conditions, Relay
from sonic.study.conditions.line import LEAST_TIMEOUT_S

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


@pytest.fixture
def sink_port() -> Iterator[int]:
    """A server that answers each connection, when it has ended, with the number of bytes that came."""
    listener = socket.create_server(("127.0.0.1", 0))

    def count(connection: socket.socket) -> None:
        with connection:
            connection.sendall(str(sum(iter(lambda: len(connection.recv(1 << 16)), 0))).encode())

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=count, args=(listener.accept()[0],)).start()

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
    with Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=50)) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        start = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        assert _receive(connection, len(payload)) == payload
        assert time.perf_counter() - start >= 0.05
        sender.join()
        connection.close()


def test_a_connection_costs_a_round_trip(echo_port: int) -> None:
    with Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=50)) as relay:
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", relay.port)) as connection:
            connection.sendall(b"x")
            assert _receive(connection, 1) == b"x"
        assert time.perf_counter() - start >= 0.1


def test_many_messages_are_on_their_way_at_once(echo_port: int) -> None:
    """Fifty messages sent without waiting take one round trip, not fifty."""
    with Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=200)) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        start = time.perf_counter()
        for number in range(50):
            connection.sendall(bytes([number]) * 10)
        assert _receive(connection, 500) == b"".join(bytes([number]) * 10 for number in range(50))
        assert time.perf_counter() - start < 50 * 0.2
        connection.close()


def test_end_of_stream_is_passed_on(echo_port: int) -> None:
    with Relay("127.0.0.1", echo_port, Conditions()) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert _receive(connection, 10) == b"last words"
        assert connection.recv(1) == b""
        connection.close()


def test_a_dead_server_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with Relay("127.0.0.1", port, Conditions()) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        connection.settimeout(5)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        connection.close()


def test_close_cuts_what_is_open(echo_port: int) -> None:
    relay = Relay("127.0.0.1", echo_port, Conditions())
    connection = socket.create_connection(("127.0.0.1", relay.port))
    connection.sendall(b"x")
    assert _receive(connection, 1) == b"x"
    relay.close()
    connection.settimeout(5)
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    relay.close()
    connection.close()


def test_no_round_trip_is_too_short(echo_port: int) -> None:
    with Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=3)) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took_s = []
        for _ in range(30):
            start = time.perf_counter()
            connection.sendall(b"x")
            _receive(connection, 1)
            took_s.append(time.perf_counter() - start)
        connection.close()
    assert min(took_s[1:]) >= 0.003


def test_bandwidth_is_shared_by_connections(sink_port: int) -> None:
    """Two connections that send at once take as long as both one after the other: 2 x 0.1 s at 80 Mbit/s."""

    def send(connection: socket.socket) -> None:
        connection.sendall(bytes(10**6))
        connection.shutdown(socket.SHUT_WR)

    with Relay("127.0.0.1", sink_port, Conditions(bandwidth_mbps=80)) as relay:
        connections = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(2)]
        start = time.perf_counter()
        for connection in connections:
            threading.Thread(target=send, args=(connection,)).start()
        ended_s = []
        for connection in connections:
            assert _receive(connection, 7) == b"1000000"
            ended_s.append(time.perf_counter() - start)
            connection.close()
    assert max(ended_s) >= 0.2


def test_a_long_message_waits_for_the_timeout_at_its_end_alone(echo_port: int) -> None:
    # 139 segments there and as many back, of which some are nearly always lost, and seldom those at the ends. The relay
    # reads three at a time.
    size, took_s = 200_000, []
    with (
        Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=2, bandwidth_mbps=16, loss=0.01)) as relay,
        socket.create_connection(("127.0.0.1", relay.port)) as connection,
    ):
        for _ in range(9):
            start_s = time.monotonic()
            connection.sendall(bytes(size))
            _receive(connection, size)
            took_s.append(time.monotonic() - start_s)
    assert 0.1 < sorted(took_s)[4] < LEAST_TIMEOUT_S


def test_more_than_fits_on_the_way_arrives_whole(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.study.conditions.relay._LINE_BYTES", 1 << 16)
    payload = bytes(range(256)) * 10_000
    with Relay("127.0.0.1", echo_port, Conditions(round_trip_ms=2)) as relay:
        connection = socket.create_connection(("127.0.0.1", relay.port))
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        assert _receive(connection, len(payload)) == payload
        sender.join()
        connection.close()


def test_connections_that_end_are_forgotten(echo_port: int) -> None:
    with Relay("127.0.0.1", echo_port, Conditions()) as relay:
        for _ in range(3):
            connection = socket.create_connection(("127.0.0.1", relay.port))
            connection.sendall(b"x")
            connection.shutdown(socket.SHUT_WR)
            assert _receive(connection, 1) == b"x"
            assert connection.recv(1) == b""
            connection.close()
        until_s = time.monotonic() + 5
        while relay.connections and time.monotonic() < until_s:
            threading.Event().wait(0.001)
        assert relay.connections == 0
