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
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from sonic.errors import InvalidRequest, ModelFailed, SonicError, Unsupported
from sonic.protocol import http_codec
from sonic.protocol.status import http_status
from sonic.server import status_page
from sonic.server.metrics import CONTENT_TYPE, Metrics
from sonic.server.http_extensions import Call, extension_routes

from sonic.server.sharedmemory import PeerRegions
if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sonic.server.dataplane import Dataplane

log = logging.getLogger("sonic.server")

MAX_BODY_BYTES = 2**31 - 1
_OWN_THREAD_BYTES = 1 << 16  # from here on (de)compression is not done in the event loop
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class HttpFront:
    """An HTTP server, with a second one for the metrics.

    Parameters
    ----------
    protocol, metrics : socket or None
        Listening ones; None: not offered.
    """

    def __init__(self, protocol: socket.socket | None, metrics: socket.socket | None) -> None:
        metrics_port = None if metrics is None else metrics.getsockname()[1]
        apps = ((protocol, partial(protocol_app, metrics_port=metrics_port)), (metrics, metrics_app))
        self._apps = [(claimed, app) for claimed, app in apps if claimed is not None]
        self._servers: list[_Server] = []
        self._thread: threading.Thread | None = None

    def start(self, dataplane: Dataplane) -> None:
        """Begin to answer."""
        self._servers = [_Server(_config(app(dataplane))) for _, app in self._apps]
        self._thread = threading.Thread(target=self._run, name="sonic-http", daemon=True)
        self._thread.start()
        for server in self._servers:
            server.up.wait()

    def stop(self, grace_s: float) -> None:
        """Take no more connections, and give requests in hand so many seconds to end."""
        for server in self._servers:
            server.config.timeout_graceful_shutdown = max(1, round(grace_s))
            server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        for claimed, _ in self._apps:
            claimed.close()

    def _run(self) -> None:
        async def both() -> None:
            pairs = zip(self._servers, self._apps, strict=True)
            await asyncio.gather(*(server.serve(sockets=[claimed]) for server, (claimed, _) in pairs))

        asyncio.run(both())


def protocol_app(dataplane: Dataplane, metrics_port: int | None = None) -> Starlette:
    """Return the routes of the protocol, and of the page for people, as an ASGI application."""
    http = _Handlers(dataplane)
    routes = status_page.routes(dataplane, metrics_port)
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
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    routes += [
        Route(path, _answered(_document(handler)), methods=[method])
        for method, path, handler in extension_routes(dataplane)
    ]


def metrics_app(dataplane: Dataplane) -> Starlette:
    """Return the metrics as an ASGI application."""
    metrics = Metrics(dataplane)

    async def expose(_: Request) -> Response:
        text = await asyncio.to_thread(metrics.expose)  # GPUs take their time to answer
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return Starlette(routes=[Route("/metrics", expose)], exception_handlers={HTTPException: _no_route})


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
        name, _ = _model(request)
        body = await _body(request)
        asked = http_codec.decode(body) if body else {}
        if isinstance(asked, dict) and asked.get("parameters"):
            raise Unsupported(f"model {name!r}: loading with {min(asked['parameters'])!r} is not offered")
        await asyncio.to_thread(self._dataplane.load, name)
        return _json(b"{}")

    async def unload(self, request: Request) -> Response:
        await asyncio.to_thread(self._dataplane.unload, _model(request)[0])
        return _json(b"{}")


class _Server(uvicorn.Server):
    """Says when it is up, for the thread that started it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app, http="httptools", loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False
    )


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


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_WINDOW_BITS):
        raise InvalidRequest(f"Content-Encoding {encoding!r} is not offered: one of {', '.join(_WINDOW_BITS)}")
    if _whole(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise InvalidRequest(f"a body holds at most {MAX_BODY_BYTES} bytes")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise InvalidRequest(f"a body holds at most {MAX_BODY_BYTES} bytes")
        parts.append(part)
    body = b"".join(parts)
    return await _off_loop(_decompress, body, encoding) if encoding in _WINDOW_BITS else body


async def _off_loop(function: Callable[[bytes, str], bytes], content: bytes, encoding: str) -> bytes:
    if len(content) < _OWN_THREAD_BYTES:
        return function(content, encoding)
    return await asyncio.to_thread(function, content, encoding)


def _compress(content: bytes, encoding: str) -> bytes:
    return zlib.compress(content, level=1, wbits=_WINDOW_BITS[encoding])


def _decompress(content: bytes, encoding: str) -> bytes:
    reader = zlib.decompressobj(wbits=_WINDOW_BITS[encoding])
    try:
        whole = reader.decompress(content, MAX_BODY_BYTES)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {encoding}: {error}") from None
    if not reader.eof or reader.unused_data:
        raise InvalidRequest(f"the body is not one whole {encoding} stream of at most {MAX_BODY_BYTES} bytes")
    return whole


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequest(f"a header that counts bytes is a whole number, given {text!r}")
    return int(text)
