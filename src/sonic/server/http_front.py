"""The dataplane over HTTP: decode, call, encode.

One event loop in a thread of its own reads and writes; models never run in it but in the threads of their scheduler.

Bodies may be compressed with gzip or deflate. A response is compressed if the request accepts exactly one of the two
and nothing else, which says that it wants that; clients that merely list what they could read get it as it is.

Copies of a request's tensors: one, where the parts of the body are joined; of a response's: one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sonic.errors import (
    InferenceError,
    InvalidRequest,
    ModelFailed,
    RateLimited,
    SonicError,
    Unauthenticated,
)
from sonic.protocol import http_codec
from sonic.protocol.rawfields import MAX_BYTES
from sonic.protocol.status import http_status
from sonic.server import status_page
from sonic.server.guard import PUBLIC_PATHS
from sonic.server.http_extensions import Call, extension_routes
from sonic.server.metrics import CONTENT_TYPE, Metrics
from sonic.server.sharedmemory import PeerRegions

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Future

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sonic.server.dataplane import Dataplane
    from sonic.server.eventloop import EventLoop
    from sonic.server.guard import Guard
    from sonic.server.tls import Tls

log = logging.getLogger("sonic.server")

_OWN_THREAD_BYTES = 1 << 16  # from here on (de)compression is not done in the event loop
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class HttpFront:
    """An HTTP server, with a second one for the metrics.

    Parameters
    ----------
    protocol, metrics : socket or None
        Listening ones; None: not offered.
    loop : EventLoop
        Serves the connections.
    unix : socket or None
        A Unix domain socket that is listening, for the protocol as well; its file is removed in the end.
    max_message_bytes : int
        Largest body of a request, decompressed; larger ones are refused.
    tls : Tls or None
        For the port of the protocol; None: not encrypted.
    guard : Guard or None
        Who is let in to the protocol; None: everyone.
    """

    def __init__(
        self,
        protocol: socket.socket | None,
        metrics: socket.socket | None,
        *,
        loop: EventLoop,
        unix: socket.socket | None = None,
        max_message_bytes: int = MAX_BYTES,
        tls: Tls | None = None,
        guard: Guard | None = None,
    ) -> None:
        metrics_port = None if metrics is None else metrics.getsockname()[1]
        offered = partial(protocol_app, metrics_port=metrics_port, max_message_bytes=max_message_bytes, guard=guard)
        apps = ((protocol, offered), (unix, offered), (metrics, metrics_app))
        self._apps = [(claimed, app) for claimed, app in apps if claimed is not None]
        self._secured = None if tls is None else protocol
        self._tls = {} if tls is None else tls.uvicorn_options()
        self._unix_path = None if unix is None else Path(unix.getsockname())
        self._servers: list[_Server] = []
        self._loop = loop
        self._running: Future[None] | None = None

    def start(self, dataplane: Dataplane) -> None:
        """Begin to answer."""
        self._servers = [
            _Server(_config(app(dataplane), self._tls if claimed is self._secured else {}))
            for claimed, app in self._apps
        ]
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop.loop)
        for server in self._servers:
            server.up.wait()

    def stop(self, grace_s: float) -> None:
        """Take no more connections, and give requests in hand so many seconds to end."""
        for server in self._servers:
            server.config.timeout_graceful_shutdown = max(1, round(grace_s))
            server.should_exit = True
        if self._running is not None:
            self._running.result()
        for claimed, _ in self._apps:
            claimed.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)

    async def _run(self) -> None:
        pairs = zip(self._servers, self._apps, strict=True)
        await asyncio.gather(*(server.serve(sockets=[claimed]) for server, (claimed, _) in pairs))


def protocol_app(
    dataplane: Dataplane,
    metrics_port: int | None = None,
    max_message_bytes: int = MAX_BYTES,
    guard: Guard | None = None,
) -> ASGIApp:
    """Return the routes of the protocol, and of the page for people, as an ASGI application."""
    http = _Handlers(dataplane)
    routes = [*status_page.routes(dataplane, metrics_port), _metrics_route(dataplane)]
    for method, path, handler in (
        ("GET", "/v2", http.server_info),
        ("GET", "/v2/health/live", http.live),
        ("GET", "/v2/health/ready", http.ready),
        ("GET", "/v2/models/stats", http.statistics),
        ("POST", "/v2/repository/index", http.index),
        ("POST", "/v2/repository/models/{model}/load", http.load),
        ("POST", "/v2/repository/models/{model}/unload", http.unload),
        *(
            (method, f"/v2/models/{{model}}{version}{path}", handler)
            for version in ("", "/versions/{version}")
            for method, path, handler in (
                ("GET", "", http.metadata),
                ("GET", "/ready", http.model_ready),
                ("GET", "/config", http.config),
                ("GET", "/stats", http.statistics),
                ("POST", "/infer", http.infer),
            )
        ),
    ):
        routes.append(Route(path, _answered(handler), methods=[method]))
    routes += [
        Route(path, _answered(_document(handler)), methods=[method])
        for method, path, handler in extension_routes(dataplane)
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    app.state.max_message_bytes = max_message_bytes
    return app if guard is None else _Guarded(app, guard)


def metrics_app(dataplane: Dataplane) -> Starlette:
    """Return the metrics as an ASGI application."""
    return Starlette(routes=[_metrics_route(dataplane)], exception_handlers={HTTPException: _no_route})


def _metrics_route(dataplane: Dataplane) -> Route:
    metrics = Metrics(dataplane)

    async def expose(_: Request) -> Response:
        text = await asyncio.to_thread(metrics.expose)  # GPUs take their time to answer
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return Route("/metrics", expose)


class _Handlers:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    async def infer(self, request: Request) -> Response:
        body = await _body(request)
        length = request.headers.get(http_codec.HEADER_LENGTH)
        wire, form = http_codec.request_from_wire(
            body,
            _whole(length) if length is not None else None,
            *_model(request),
            regions=PeerRegions(self._dataplane.memory, lambda: _peer(request)),
        )
        response = await asyncio.wrap_future(self._dataplane.infer(wire, inline=False))
        content, header_length = http_codec.response_to_wire(response, form)
        headers = {"Content-Type": "application/json"}
        if header_length is not None:
            headers = {"Content-Type": "application/octet-stream", http_codec.HEADER_LENGTH: str(header_length)}
        accepted = request.headers.get("accept-encoding", "").strip().lower()
        if accepted in _WINDOW_BITS:
            content = await _off_loop(_compress, content, accepted)
            headers["Content-Encoding"] = accepted
        return Response(content, headers=headers)

    async def server_info(self, _: Request) -> Response:
        return _json(http_codec.server_info_to_wire(self._dataplane.server_info()))

    async def live(self, _: Request) -> Response:
        return Response(status_code=200 if self._dataplane.live() else 503)

    async def ready(self, _: Request) -> Response:
        return Response(status_code=200 if self._dataplane.ready() else 503)

    async def model_ready(self, request: Request) -> Response:
        return Response(status_code=200 if self._dataplane.model_ready(*_model(request)) else 503)

    async def metadata(self, request: Request) -> Response:
        name, version = _model(request)
        spec = self._dataplane.model_spec(name, version)
        return _json(http_codec.spec_to_wire(spec, self._dataplane.model_versions(name)))

    async def config(self, request: Request) -> Response:
        return _json(http_codec.config_to_wire(self._dataplane.model_config(*_model(request))))

    async def statistics(self, request: Request) -> Response:
        return _json(http_codec.statistics_to_wire(self._dataplane.statistics(*_model(request))))

    async def index(self, request: Request) -> Response:
        body = await _body(request)
        asked = http_codec.decode(body) if body else {}
        ready = asked.get("ready", False) if isinstance(asked, dict) else None
        if not isinstance(ready, bool):
            raise InvalidRequest(
                f"the body of an index request is an object whose ready is true or false, given {asked}"
            )
        return _json(http_codec.index_to_wire(self._dataplane.index(ready=ready)))

    async def load(self, request: Request) -> Response:
        await asyncio.to_thread(self._dataplane.load, _model(request)[0], await _parameters(request))
        return _json(b"{}")

    async def unload(self, request: Request) -> Response:
        await asyncio.to_thread(self._dataplane.unload, _model(request)[0], await _parameters(request))
        return _json(b"{}")


class _Guarded:
    """An application behind a guard."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS:
            request = Request(scope)
            try:
                self._guard.count(self._guard.identify(_peer(request), request.headers.get("authorization")))
            except InferenceError as error:
                await _refused(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """Says when it is up, for the thread that started it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(app: ASGIApp, tls: Mapping[str, Any]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # a peer is who it is, not who it says it is
        **tls,
    )


def _refused(error: InferenceError) -> Response:
    response = _json(http_codec.error_to_wire(error), http_status(error))
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(ceil(error.wait_s))
    return response


def _model(request: Request) -> tuple[str, str]:
    return request.path_params.get("model", ""), request.path_params.get("version", "")


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _document(handler: Callable[[Call], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        call = Call(dict(request.path_params), await _body(request), _peer(request))
        return _json(http_codec.encode(handler(call)))

    return answered


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


def _answered(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except SonicError as error:
            return _json(http_codec.error_to_wire(error), http_status(error))
        except Exception as error:
            log.exception("an HTTP call failed for no reason that is known")
            failure = ModelFailed(f"internal error of the server: {type(error).__name__}: {error}")
            return _json(http_codec.error_to_wire(failure), http_status(failure))

    return answered


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = f"{request.method} {request.url.path} is not offered"
    response = _json(http_codec.error_to_wire(InvalidRequest(text)), status)
    response.headers.update(getattr(error, "headers", None) or {})  # Allow, where the method is not
    return response


async def _parameters(request: Request) -> Mapping[str, Any]:
    """Parameters in the body of a request to load or unload a model."""
    body = await _body(request)
    asked = http_codec.decode(body) if body else {}
    parameters = asked.get("parameters") or {} if isinstance(asked, dict) else None
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"the body is an object whose parameters are an object, given {asked}")
    return parameters


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_WINDOW_BITS):
        raise InvalidRequest(f"Content-Encoding {encoding!r} is not offered: one of {', '.join(_WINDOW_BITS)}")
    limit: int = request.app.state.max_message_bytes
    if _whole(request.headers.get("content-length", "0")) > limit:
        raise InvalidRequest(f"a body holds at most {limit} bytes")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise InvalidRequest(f"a body holds at most {limit} bytes")
        parts.append(part)
    body = b"".join(parts)
    if encoding not in _WINDOW_BITS:
        return body
    return await _off_loop(lambda content, form: _decompress(content, form, limit), body, encoding)


async def _off_loop(function: Callable[[bytes, str], bytes], content: bytes, encoding: str) -> bytes:
    if len(content) < _OWN_THREAD_BYTES:
        return function(content, encoding)
    return await asyncio.to_thread(function, content, encoding)


def _compress(content: bytes, encoding: str) -> bytes:
    return zlib.compress(content, level=1, wbits=_WINDOW_BITS[encoding])


def _decompress(content: bytes, encoding: str, limit: int) -> bytes:
    reader = zlib.decompressobj(wbits=_WINDOW_BITS[encoding])
    try:
        whole = reader.decompress(content, limit)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {encoding}: {error}") from None
    if not reader.eof or reader.unused_data:
        raise InvalidRequest(f"the body is not one whole {encoding} stream of at most {limit} bytes")
    return whole


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequest(f"a header that counts bytes is a whole number, given {text!r}")
    return int(text)
