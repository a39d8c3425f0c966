from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Semaphore, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import httpcore
import pytest
import trustme

from sonic.client.exchange import Exchange, Sockets
from sonic.client.http import HttpTransport
from sonic.errors import Cancelled, DeadlineExceeded, Unavailable
from sonic.testing.conformance import WAIT_S, RudePeer, echo_request, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.server.app import Server

PACE_S = 0.02
"""Of peers that are slow, but never so slow that a single read or write runs into a limit."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Long: " + 40 * b"x" + b"\r\nContent-Length: 100\r\n\r\n"
ANSWER = HEAD + b"[" + 98 * b" " + b"]"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.settimeout(WAIT_S)
    with near, far:
        yield near, far


def test_its_time_is_that_of_the_whole() -> None:
    start_s = monotonic()
    exchange = Exchange(60.0)
    left_s = exchange.left_s()
    assert left_s is not None
    assert 60.0 - (monotonic() - start_s) <= left_s <= 60.0
    assert not exchange.late
    assert Exchange(None).left_s() is None
    assert not Exchange(None).late
    over = Exchange(0.0)
    assert over.late
    with pytest.raises(TimeoutError, match="is up"):
        over.left_s()


@pytest.mark.parametrize("before", [True, False])
def test_given_up_its_socket_is_shut(before: bool, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    exchange = Exchange(None)
    if before:
        exchange.cancel()
    exchange.served_by(near)
    if not before:
        exchange.cancel()
    assert exchange.given_up
    assert far.recv(1) == b""
    exchange.cancel()


def test_a_socket_that_it_has_let_go_of_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    exchange = Exchange(None)
    exchange.served_by(near)
    exchange.end()
    exchange.cancel()
    near.sendall(b"x")
    assert far.recv(1) == b"x"


class Peer:
    """A server whose connections talk as the test says. Context manager.

    Attributes
    ----------
    came, gone : threading.Semaphore
        Released for each connection on which something came, and for each whose other end has gone.
    """

    def __init__(self, talk: Callable[[socket.socket], object], context: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.came = Semaphore(0)
        self.gone = Semaphore(0)

    def __enter__(self) -> Self:
        Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):  # how it is ended
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(WAIT_S)
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                if connection.recv(1):
                    self.came.release()
                with suppress(OSError):
                    self._talk(connection)
                self.gone.release()


def listen(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def drip(connection: socket.socket, content: bytes) -> None:
    for byte in content:
        connection.sendall(bytes([byte]))
        Event().wait(PACE_S)


def drip_all(connection: socket.socket) -> None:
    drip(connection, ANSWER)


def drip_the_body(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    drip(connection, ANSWER.removeprefix(HEAD))


def sip(connection: socket.socket) -> None:
    for _ in range(200):
        connection.recv(1 << 16)
        Event().wait(PACE_S / 4)


@pytest.mark.parametrize("talk", [drip_all, drip_the_body])
def test_an_answer_that_drips_in_is_not_waited_for_longer(talk: Callable[[socket.socket], object]) -> None:
    with Peer(talk) as peer:
        transport = HttpTransport(peer.target)
        assert not transport.ready(0.2)
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.2 s"):
            transport.model_spec("echo", timeout_s=0.2)
        assert type(error_of(transport.submit(echo_request(timeout_s=0.2)))) is DeadlineExceeded
        for _ in range(3):
            assert peer.gone.acquire(timeout=WAIT_S)
        transport.close()


def test_a_request_that_drips_out_is_not_sent_for_longer() -> None:
    with Peer(sip) as peer:
        transport = HttpTransport(peer.target)
        assert type(error_of(transport.submit(echo_request(rows=1 << 20, timeout_s=0.2)))) is DeadlineExceeded
        transport.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_request_given_up_frees_its_thread_and_is_known_to_be_to_its_server(tls: bool, tmp_path: Path) -> None:
    context, options = None, {}
    if tls:
        authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        options = {"scheme": "https", "ca": str(tmp_path / "ca.pem")}
    with Peer(listen, context) as peer:
        transport = HttpTransport(peer.target, threads=1, **options)
        for _ in range(3):
            future = transport.submit(echo_request())
            assert peer.came.acquire(timeout=WAIT_S)
            assert future.cancel()
            assert peer.gone.acquire(timeout=WAIT_S)
        transport.close()


@pytest.fixture
def deaf() -> Iterator[int]:
    """Yield a port where 127.0.0.2 answers nobody: as many wait there as may."""
    with (
        socket.create_server(("127.0.0.2", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield listener.getsockname()[1]


def test_an_address_that_answers_nobody_does_not_take_all_of_the_time(
    deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def both(host: str, port: int, *given: Any, **named: Any) -> Any:
        hosts = ("127.0.0.2", "127.0.0.1") if host == "two.example" else (host,)
        return [found for each in hosts for found in resolve(each, port, *given, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    sockets = Sockets()
    for timeout_s in (0.6, None):  # the second time it is known who answers
        with socket.create_server(("127.0.0.1", deaf)):
            sockets.serve(Exchange(timeout_s))
            stream = sockets.connect_tcp("two.example", deaf)
            assert stream.get_extra_info("server_addr") == ("127.0.0.1", deaf)
            stream.close()
    sockets.serve(Exchange(0.2))
    with pytest.raises(httpcore.ConnectTimeout):
        sockets.connect_tcp("127.0.0.2", deaf)
    sockets.serve(Exchange(5.0))
    with pytest.raises(httpcore.ConnectError, match="refused"):
        sockets.connect_tcp("127.0.0.1", deaf)


def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    transport = HttpTransport("two.example:1")
    error = error_of(transport.submit(echo_request()))
    assert type(error) is Unavailable
    assert "Name or service not known" in str(error)
    transport.close()


def test_a_small_call_ends_at_the_close() -> None:
    with Peer(listen) as peer, ThreadPoolExecutor(1) as threads:
        transport = HttpTransport(peer.target)
        asked = threads.submit(transport.models)
        assert peer.came.acquire(timeout=WAIT_S)
        transport.close()
        assert type(asked.exception(WAIT_S)) is Cancelled
        assert peer.gone.acquire(timeout=WAIT_S)


def test_one_that_has_its_answer_does_not_cut_off_the_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    connect = Sockets.connect_tcp
    monkeypatch.setattr(Sockets, "connect_tcp", lambda *what, **how: (made.append(what), connect(*what, **how))[1])
    transport = HttpTransport(server.http_url.removeprefix("http://"))
    for _ in range(3):
        exchange = Exchange(WAIT_S)
        transport._call(exchange, "GET", "/v2/health/ready")
        exchange.cancel()
    assert len(made) == 1
    transport.close()


def test_a_peer_that_the_kernel_gives_up_on_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> bytes:
        raise httpcore.ReadTimeout("[Errno 110] Connection timed out")

    monkeypatch.setattr("sonic.client.exchange._Stream.read", read)
    with RudePeer(hang_up=False) as peer:
        transport = HttpTransport(peer.target)
        error = error_of(transport.submit(echo_request()))
        assert type(error) is Unavailable
        assert "Connection timed out" in str(error)
        transport.close()
