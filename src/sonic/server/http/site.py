"""What is behind the ports: inference, and the ASGI applications for the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sonic.protocol.jsoncache import JsonCodec
from sonic.server.access.guard import PUBLIC_PATHS, QUESTION_BYTES
from sonic.server.http.asgi import Application
from sonic.server.http.infer import Inference
from sonic.server.http.routes import metrics_app, protocol_app

if TYPE_CHECKING:
    from sonic.server.access.guard import Guard
    from sonic.server.dataplane import Dataplane
    from sonic.server.http.exchange import Handler
    from sonic.server.http.head import Head

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


class ProtocolSite:
    """The protocol, and the page for people.

    Parameters
    ----------
    dataplane : Dataplane
    metrics_port : int or None
        Where the metrics are, for the page to say; None if they are not offered.
    max_body_bytes : int
        Largest body of a request, decompressed.
    guard : Guard or None
        Who is let in; None: everyone.
    """

    def __init__(
        self, dataplane: Dataplane, *, metrics_port: int | None, max_body_bytes: int, guard: Guard | None = None
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._dataplane = dataplane
        self._guard = guard
        self._codec = JsonCodec()
        others = protocol_app(dataplane, metrics_port)
        self._others = Application(others, max_body_bytes)
        self._public = Application(others, QUESTION_BYTES)

    def admit(self, head: Head, peer: str) -> None:
        """Let a request pass; see :class:`~sonic.server.access.guard.Guard` for what it may raise."""
        if self._guard is not None and head.path not in PUBLIC_PATHS:
            self._guard.admit(peer, head.get(b"authorization") or None)

    def route(self, head: Head) -> Handler:
        """Return what answers requests that have this head."""
        if head.method == "POST" and (match := _INFER.fullmatch(head.path)) is not None:
            name, version = unquote(match[1]), unquote(match[2] or "")
            return Inference(self._dataplane, head, name, version, self._codec, self._max_body_bytes)
        return self._public if head.path in PUBLIC_PATHS else self._others


class MetricsSite:
    """The metrics, for everyone.

    Parameters
    ----------
    dataplane : Dataplane
    """

    def __init__(self, dataplane: Dataplane) -> None:
        self._app = Application(metrics_app(dataplane), QUESTION_BYTES)

    def admit(self, head: Head, peer: str) -> None:
        """Let every request pass."""

    def route(self, head: Head) -> Handler:  # noqa: ARG002 - there is one
        """Return what answers requests."""
        return self._app
