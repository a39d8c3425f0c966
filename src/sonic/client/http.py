"""Transport over HTTP. httpcore waits for its answers, so a few threads hold as many requests in flight."""

from __future__ import annotations

import gzip
import socket
import zlib
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpcore

from sonic.client.exchange import Exchange, Sockets
from sonic.client.promise import Promise, as_inference_error
from sonic.client.secure import Credentials
from sonic.client.workers import Workers
from sonic.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    InferenceError,
    ModelNotFound,
    Unavailable,
    Unsupported,
)
from sonic.protocol import documents, http_codec, status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.protocol.form import Placement
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec

_KEEPALIVE_S = 4.0
"""Servers close idle connections after five seconds and more; ours are gone by then."""

_SOCKET = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), seconds)
    for name, seconds in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]
"""A peer that is gone without a word is found out, else its requests would hold their threads for ever."""

_HEAD_BYTES = http_codec.HEADER_LENGTH.lower().encode()

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, compresslevel=6),
    "deflate": zlib.compress,
}
_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


class HttpTransport:
    """A way to a server over HTTP; see :class:`~sonic.client.transport.Transport`.

    For servers and proxies that speak no gRPC: it takes a thread a request in flight. One that is given up has its
    connection closed, by which the server learns of it.

    Parameters
    ----------
    target : str
        ``host:port``. Nothing is connected before the first call.
    threads : int
        Most requests in flight; others wait here.
    scheme : str
        ``http``; ``https`` with TLS; ``http+unix``, and `target` is the path of a socket.
    compression : str
        ``gzip`` or ``deflate``, of requests and answers; none if empty.
    **credentials : str
        See :class:`sonic.client.secure.Credentials`.

    Raises
    ------
    ConfigError
        If a file of the credentials cannot be used.
    """

    def __init__(
        self, target: str, *, threads: int = 16, scheme: str = "http", compression: str = "", **credentials: str
    ) -> None:
        given = Credentials(**credentials)
        self._url = f"{scheme}:{'' if scheme == 'http+unix' else '//'}{target}"
        if scheme != "https":
            given.refuse_tls(self._url)
        self._authorization = given.authorization()
        self._compression = compression
        self._workers = Workers(threads, "sonic-http")
        self._lock = Lock()
        self._closed = False
        self._in_flight: set[Promise[InferResponse]] = set()
        self._exchanges: set[Exchange] = set()
        self._sockets = Sockets()
        unix = scheme == "http+unix"
        host = "localhost" if unix else target
        if not host.isascii():
            raise ConfigError(f"{self._url}: a host's name is written in ASCII (xn--...)")
        self._origin = httpcore.URL(f"{'https' if scheme == 'https' else 'http'}://{host}")
        self._headers = [(b"Host", host.encode())]
        # httpx on top of it would take as long again for every call, and go through the proxy that http_proxy names,
        # which is there for files on many sites.
        self._pool = httpcore.ConnectionPool(
            ssl_context=given.context() if scheme == "https" else None,
            max_connections=None,
            max_keepalive_connections=threads,
            keepalive_expiry=_KEEPALIVE_S,
            uds=target if unix else None,
            socket_options=None if unix else _SOCKET,
            network_backend=self._sockets,
        )

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""
        return self._url

    def submit(self, request: InferRequest, placement: Placement | None = None) -> Future[InferResponse]:
        """Send a request and return at once; an error is in the future."""
        promise: Promise[InferResponse] = Promise()
        exchange = Exchange(request.timeout_s)
        promise.cancels(exchange)
        with self._lock:
            self._in_flight.add(promise)
        promise.on_end(self._in_flight.discard)
        if not self._workers.run(lambda: self._serve(request, exchange, promise, placement)):
            promise.reject(self._workers.refusal(f"{self._url}: the connection"))
        return promise

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model (metadata and config)."""
        exchange = Exchange(timeout_s)
        path = _model_path(model, version)
        metadata = self._call(exchange, "GET", path).content
        try:
            config = self._call(exchange, "GET", f"{path}/config").content
        except (ModelNotFound, Unsupported):  # an extension that not every server has
            config = b"{}"
        return documents.spec_from_wire(metadata, config, version)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration (config)."""
        path = f"{_model_path(model, version)}/config"
        return documents.config_from_wire(self._call(Exchange(timeout_s), "GET", path).content)

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version that the server knows of (repository index)."""
        return documents.index_from_wire(self._call(Exchange(timeout_s), "POST", "/v2/repository/index", b"{}").content)

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model, all of its clients together."""
        path = f"{_model_path(model, version)}/stats"
        rows = documents.statistics_from_wire(self._call(Exchange(timeout_s), "GET", path).content)
        if not rows:
            raise ModelNotFound(f"{self._url} has no statistics of model {model!r}")
        return rows[-1]

    def ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests now. False, not an error, if it cannot be reached."""
        try:
            self._call(Exchange(timeout_s), "GET", "/v2/health/ready")
        except InferenceError:
            return False
        return True

    def register(self, name: str, key: str, byte_size: int, timeout_s: float | None = None) -> None:
        """Have the server map shared memory under a name."""
        document = documents.encode({"key": key, "offset": 0, "byte_size": byte_size})
        self._call(Exchange(timeout_s), "POST", f"{_region_path(name)}/register", document)

    def unregister(self, name: str, timeout_s: float | None = None) -> None:
        """Have the server forget it."""
        self._call(Exchange(timeout_s), "POST", f"{_region_path(name)}/unregister", b"{}")

    def close(self) -> None:
        """Release the connections. Requests in flight end in Cancelled."""
        with self._lock:
            self._closed = True
            self._workers.close()
            in_flight = list(self._in_flight)
            exchanges = list(self._exchanges)
        for promise in in_flight:
            promise.reject(Cancelled(f"{self._url}: the connection was closed"))
        for exchange in exchanges:
            exchange.cancel()
        self._pool.close()

    def _serve(
        self,
        request: InferRequest,
        exchange: Exchange,
        promise: Promise[InferResponse],
        placement: Placement | None,
    ) -> None:
        if promise.ended:
            return
        try:
            promise.resolve(self._infer(request, exchange, placement))
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            promise.reject(as_inference_error(error))

    def _infer(self, request: InferRequest, exchange: Exchange, placement: Placement | None) -> InferResponse:
        body, head_bytes = http_codec.request_to_wire(request, placement)
        headers = [(_HEAD_BYTES, b"%d" % head_bytes), (b"Content-Type", b"application/octet-stream")]
        if self._compression:
            body = _COMPRESS[self._compression](body)
            coding = self._compression.encode()
            headers += [(b"Content-Encoding", coding), (b"Accept-Encoding", coding)]
        path = f"{_model_path(request.model, request.version)}/infer"
        answer = self._call(exchange, "POST", path, body, headers)
        given = {name.lower(): value for name, value in answer.headers}
        content = answer.content
        if b"content-encoding" in given:
            content = self._decompressed(content, given[b"content-encoding"].decode("latin-1"))
        length = given.get(_HEAD_BYTES, b"")
        return http_codec.response_from_wire(content, int(length) if length.isdigit() else None, placement)

    def _decompressed(self, content: bytes, coding: str) -> bytes:
        decompress = _DECOMPRESS.get(coding.strip().lower())
        if decompress is None:
            raise Unavailable(f"{self._url} answers in an encoding that was not asked for: {coding}")
        try:
            return decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Unavailable(f"{self._url}: the answer is no {coding}: {error}") from error

    def _call(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> httpcore.Response:
        if exchange.late:
            raise DeadlineExceeded(f"{self._url}: the time was up before the request could be sent")
        with self._lock:
            if self._closed:
                raise Cancelled(f"{self._url}: the connection is closed")
            self._exchanges.add(exchange)
        more = [(b"Content-Length", b"%d" % len(body))] if method == "POST" else []
        if self._authorization is not None:
            more.append((b"Authorization", self._authorization().encode()))
        url = httpcore.URL(scheme=self._origin.scheme, host=self._origin.host, port=self._origin.port, target=path)
        try:
            self._sockets.serve(exchange)
            with self._pool.stream(method, url, headers=[*self._headers, *headers, *more], content=body) as answer:
                answer.read()
                exchange.end()  # before the connection is free for another
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise self._failure(exchange, error) from error
        finally:
            self._exchanges.discard(exchange)
        if answer.status >= 400:
            failure = status.from_http(answer.status, documents.error_from_wire(answer.content), _wait_s(answer))
            if failure.retryable:
                failure.args = (f"{self._url}: {failure}",)
            raise failure
        return answer

    def _failure(self, exchange: Exchange, error: Exception) -> InferenceError:
        if exchange.given_up:
            return Cancelled(f"{self._url}: the connection was closed")
        if isinstance(error, httpcore.ConnectTimeout):
            return Unavailable(f"{self._url}: no connection in time")
        # Without a limit, it is the kernel's word for a peer that is gone.
        if isinstance(error, httpcore.TimeoutException | TimeoutError) and exchange.timeout_s is not None:
            return DeadlineExceeded(f"{self._url}: no answer within {exchange.timeout_s:g} s")
        return Unavailable(f"{self._url}: {' '.join(str(error).split()) or type(error).__name__}")


def _wait_s(answer: httpcore.Response) -> float:
    """Seconds until the server wants to be asked again; 0 if it does not say, or says it as a date."""
    said = next((value for name, value in answer.headers if name.lower() == b"retry-after"), b"").strip()
    return float(said) if said.isdigit() and len(said) < 10 else 0.0


def _region_path(name: str) -> str:
    return f"/v2/systemsharedmemory/region/{quote(name, safe='')}"


def _model_path(model: str, version: str) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


secure = partial(HttpTransport, scheme="https")
unix = partial(HttpTransport, scheme="http+unix")
