from __future__ import annotations

import select
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sonic.server.http.wakeups import PIECE_BYTES, Wakeups
from sonic.server.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Iterator


def transport(end: socket.socket | None, **info: Any) -> Any:
    return SimpleNamespace(get_extra_info={"socket": end, **info}.get)


def readable(end: socket.socket, timeout_s: float = 0.0) -> bool:
    return bool(select.select([end], [], [], timeout_s)[0])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with listen("127.0.0.1", 0, "--port") as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


def test_a_socket_is_quiet_until_enough_has_come(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    wakeups = Wakeups(transport(server))
    wakeups.wait_for(1000)
    client.sendall(bytes(999))
    assert not readable(server)
    client.sendall(b"x")
    assert readable(server, 10)
    assert len(server.recv(2000)) == 1000
    wakeups.wait_for(10 * PIECE_BYTES)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == PIECE_BYTES
    wakeups.wait_for(1)
    client.sendall(b"x")
    assert readable(server, 10)
    wakeups.close()
    wakeups.wait_for(1000)
    assert readable(server)  # and still open


def test_the_end_of_a_stream_wakes(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    wakeups = Wakeups(transport(server))
    wakeups.wait_for(1000)
    client.shutdown(socket.SHUT_WR)
    assert readable(server, 10)
    wakeups.close()


def test_where_there_is_no_threshold(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = socket.socketpair()
    with one, other:
        for given in (transport(one), transport(pair[1], sslcontext=object()), transport(None)):
            wakeups = Wakeups(given)
            wakeups.wait_for(1000)
            wakeups.close()
        pair[0].sendall(b"x")
        assert readable(pair[1], 10)
