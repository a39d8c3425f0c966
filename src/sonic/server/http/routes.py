"""Everything that HTTP offers beside inference, as ASGI applications: decode, call the dataplane, encode.

What a handler raises leaves the application, as any error does that starlette has no handler for; the exchange makes
the answer of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from sonic.errors import InvalidRequest, ModelFailed, shown
from sonic.protocol import documents
from sonic.server.http.extensions import Call, extension_routes
from sonic.server.pages import status_page
from sonic.server.pages.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sonic.server.dataplane import Dataplane


def protocol_app(dataplane: Dataplane, metrics_port: int | None = None) -> Starlette:
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
                ("POST", "/infer", _by_the_site),
            )
        ),
    ):
        routes.append(Route(path, handler, methods=[method]))
    routes += [
        Route(path, _document(handler), methods=methods) for methods, path, handler in extension_routes(dataplane)
    ]
    return _app(routes)


def metrics_app(dataplane: Dataplane) -> Starlette:
    """Return the metrics as an ASGI application."""
    return _app([_metrics_route(dataplane)])


def _app(routes: Sequence[BaseRoute]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    # Whether a proxy or TLS is in between is not known here, and so not where a corrected path would be.
    app.router.redirect_slashes = False
    return app


def _metrics_route(dataplane: Dataplane) -> Route:
    metrics = Metrics(dataplane)

    async def expose(_: Request) -> Response:
        text = await asyncio.to_thread(metrics.expose)  # GPUs take their time to answer
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return Route("/metrics", expose)


class _Handlers:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    async def server_info(self, _: Request) -> Response:
        return _json(documents.server_info_to_wire(self._dataplane.server_info()))

    async def live(self, _: Request) -> Response:
        return _state({"live": self._dataplane.live()})

    async def ready(self, _: Request) -> Response:
        return _state({"ready": self._dataplane.ready()})

    async def model_ready(self, request: Request) -> Response:
        name, version = _model(request)
        return _state({"name": name, "ready": self._dataplane.model_ready(name, version)})

    async def metadata(self, request: Request) -> Response:
        name, version = _model(request)
        spec = self._dataplane.model_spec(name, version)
        return _json(documents.spec_to_wire(spec, self._dataplane.model_versions(name, version)))

    async def config(self, request: Request) -> Response:
        return _json(documents.config_to_wire(self._dataplane.model_config(*_model(request))))

    async def statistics(self, request: Request) -> Response:
        return _json(documents.statistics_to_wire(self._dataplane.statistics(*_model(request))))

    async def index(self, request: Request) -> Response:
        body = await request.body()
        asked = documents.decode(body) if body else {}
        ready = asked.get("ready", False) if isinstance(asked, dict) else None
        if not isinstance(ready, bool):
            raise InvalidRequest(
                f"the body of an index request is an object whose ready is true or false, given {shown(asked)}"
            )
        return _json(documents.index_to_wire(self._dataplane.index(ready=ready)))

    async def load(self, request: Request) -> Response:
        await self._command(self._dataplane.load, _model(request)[0], await _parameters(request))
        return _json(b"{}")

    async def unload(self, request: Request) -> Response:
        await self._command(self._dataplane.unload, _model(request)[0], await _parameters(request))
        return _json(b"{}")

    async def _command(self, function: Callable[..., None], *given: object) -> None:
        await asyncio.wrap_future(self._dataplane.commands.submit(function, *given))


def _names(request: Request) -> dict[str, str]:
    return {key: unquote(name) for key, name in request.path_params.items()}


def _model(request: Request) -> tuple[str, str]:
    names = _names(request)
    return names.get("model", ""), names.get("version", "")


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _document(handler: Callable[[Call], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        call = Call(_names(request), await request.body(), _peer(request))
        return _json(documents.encode(handler(call)))

    return answered


def _state(document: Mapping[str, Any]) -> Response:
    return _json(documents.encode(document), 200 if all(document.values()) else 503)


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


async def _by_the_site(request: Request) -> Response:
    # POST never comes here, but other methods are refused by there being such a route.
    raise ModelFailed(f"{request.scope['path']} is answered elsewhere")


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.scope["path"]  # that of `request.url` may be another, or none: Host is a part of it
    text = f"{request.method} {path} is not offered"
    response = _json(documents.error_to_wire(InvalidRequest(text)), status)
    response.headers.update(getattr(error, "headers", None) or {})  # Allow, where the method is not
    return response


async def _parameters(request: Request) -> Mapping[str, Any]:
    """Parameters in the body of a request to load or unload a model."""
    body = await request.body()
    asked = documents.decode(body) if body else {}
    parameters = asked.get("parameters") or {} if isinstance(asked, dict) else None
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"the body is an object whose parameters are an object, given {shown(asked)}")
    return parameters
