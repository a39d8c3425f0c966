"""Exchanges over HTTP, on sockets that end with the time of the exchange which they serve, and that can be cut off."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, local
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable


class Exchange:
    """One request and its answer: the time that they have, and the socket that serves them. Thread-safe.

    Parameters
    ----------
    timeout_s : float or None
        Time from now on that they have in all; None is no limit.

    Attributes
    ----------
    timeout_s : float or None
    given_up : bool
        Whether somebody has cut it off.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self.given_up = False
        self._until_s = None if timeout_s is None else monotonic() + timeout_s
        self._socket: socket.socket | None = None
        self._lock = Lock()

    @property
    def late(self) -> bool:
        """Whether its time is up."""
        return self._until_s is not None and monotonic() >= self._until_s

    def left_s(self) -> float | None:
        """Return the time that is left, in seconds; None without a limit.

        Raises
        ------
        TimeoutError
            If none is.
        """
        if self._until_s is None:
            return None
        left_s = self._until_s - monotonic()
        if left_s <= 0:
            raise TimeoutError("the time of the request is up")
        return left_s

    def served_by(self, connection: socket.socket) -> None:
        """Note the socket; it is shut at once if the exchange was given up."""
        with self._lock:
            self._socket = connection
            if self.given_up:
                _shut(connection)

    def end(self) -> None:
        """Let go of the socket, which may serve another exchange from now on."""
        with self._lock:
            self._socket = None

    def cancel(self) -> None:
        """Give it up: its thread stops waiting, and the server learns of it. Nothing happens if it has ended."""
        with self._lock:
            self.given_up = True
            if self._socket is not None:
                _shut(self._socket)


class Sockets(httpcore.NetworkBackend):
    """What httpcore connects by. Its own limits are of each read and each write; here they are of a whole exchange.

    httpcore does everything for an exchange in the thread that asks for it, so that the thread says which it is.
    """

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._here = local()
        self._answers: dict[tuple[str, int], str] = {}  # which address of a host was the last to do so

    def serve(self, exchange: Exchange) -> None:
        """Serve an exchange with whatever this thread does next."""
        self._here.exchange = exchange

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's, as in all of the following
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a port; an address of the host that is dead takes no more than its share of the time."""
        addresses = _addresses(host, port)
        last = self._answers.get((host, port))
        addresses.sort(key=lambda address: address != last)
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for ahead, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            left_s = self._here.exchange.left_s()
            share_s = None if left_s is None else left_s / ahead
            try:
                found = self._backend.connect_tcp(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = failure or error
            else:
                self._answers[host, port] = address
                return _Stream(found, self._here)
        raise failure or httpcore.ConnectError(f"host {host} has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a Unix socket."""
        left_s = self._here.exchange.left_s()
        return _Stream(self._backend.connect_unix_socket(path, left_s, socket_options), self._here)


class _Stream(httpcore.NetworkStream):
    """A connection, which serves one exchange after another."""

    def __init__(self, stream: httpcore.NetworkStream, here: local) -> None:
        self._stream = stream
        self._here = here
        self._socket: socket.socket = stream.get_extra_info("socket")
        here.exchange.served_by(self._socket)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._here.exchange.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        exchange: Exchange = self._here.exchange
        exchange.served_by(self._socket)
        rest = memoryview(buffer)
        try:
            while rest:  # not httpcore's own loop, which copies the rest each time, and has the limit each time
                self._socket.settimeout(exchange.left_s())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left_s = self._here.exchange.left_s()
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._here)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _shut(connection: socket.socket) -> None:
    """Wake the thread that waits for a socket; it closes it."""
    with suppress(OSError):  # closed already
        # Not by a TLS socket's own method, which drops the encryption first, while another thread may be sending.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
