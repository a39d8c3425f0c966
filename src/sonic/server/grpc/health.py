"""grpc.health.v1: asked once, or watched without a thread for each who watches."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from sonic.errors import ModelNotFound
from sonic.protocol.grpc_codec import parse
from sonic.protocol.proto import health_pb2
from sonic.server.grpc.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.dataplane import Dataplane
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Message

SERVICE = "grpc.health.v1.Health"
_Response = health_pb2.HealthCheckResponse
_LOOK_S = 0.2
"""How often readiness is looked at while somebody watches it, in seconds."""


class _Watcher(NamedTuple):
    """Who watches, and what it was told; None: there is nothing to tell of what it asked for."""

    send: Callable[[Any], None]
    end: Callable[[], None]
    told: bool | None


class Health:
    """The health of the server and of its services, which is one.

    Parameters
    ----------
    dataplane : Dataplane
    services : sequence of str
        Names that can be asked for; the empty one is the server as a whole.
    look_s : float
        How often to look for a change while somebody watches.
    """

    def __init__(self, dataplane: Dataplane, services: tuple[str, ...], *, look_s: float = _LOOK_S) -> None:
        self._dataplane = dataplane
        self._services = ("", SERVICE, *services)
        self._look_s = look_s
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watchers: dict[object, _Watcher] = {}
        self._thread: threading.Thread | None = None

    def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        """Answer once."""
        if request.service not in self._services:
            raise ModelNotFound(f"no service {request.service!r}: there is {', '.join(filter(None, self._services))}")
        return _Response(status=_status(self._dataplane.ready()))

    def list(self, _: health_pb2.HealthListRequest) -> health_pb2.HealthListResponse:
        """Answer for every service."""
        status = _Response(status=_status(self._dataplane.ready()))
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, status))

    def watch(
        self,
        request: health_pb2.HealthCheckRequest,
        send: Callable[[health_pb2.HealthCheckResponse], None],
        end: Callable[[], None],
    ) -> Callable[[], None]:
        """Answer now and whenever it changes, and `end` when the server does; what is returned stops that."""
        key = object()
        known = request.service in self._services
        with self._lock:
            ready = self._dataplane.ready()
            if self._thread is None and not self._closed.is_set():
                thread = threading.Thread(target=self._look, name="sonic-grpc-health", daemon=True)
                thread.start()  # which the system may refuse
                self._thread = thread
            # The specification keeps a call open that asks for a service that nobody knows.
            send(_Response(status=_status(ready) if known else _Response.SERVICE_UNKNOWN))
            if self._closed.is_set():
                end()
            else:
                self._watchers[key] = _Watcher(send, end, ready if known else None)
        return lambda: self._forget(key)

    def close(self) -> None:
        """Tell those who watch that it serves no more, end their calls, and look no further."""
        self._closed.set()
        with self._lock:
            for key in list(self._watchers):
                self._tell(key, ready=False)
                self._watchers.pop(key).end()

    def _look(self) -> None:
        """Tell those who watch of changes, in a thread of its own, for as long as there are any."""
        while not self._closed.wait(self._look_s):
            ready = self._dataplane.ready()
            with self._lock:
                if not self._watchers:
                    self._thread = None  # the next who watches starts another
                    return
                for key in list(self._watchers):
                    self._tell(key, ready=ready)

    def _tell(self, key: object, *, ready: bool) -> None:
        watcher = self._watchers[key]
        if watcher.told is not None and watcher.told is not ready:
            self._watchers[key] = watcher._replace(told=ready)
            watcher.send(_Response(status=_status(ready)))

    def _forget(self, key: object) -> None:
        with self._lock:
            self._watchers.pop(key, None)


class Watch(Admission):
    """Handler of those who watch, who need no token."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def message(self, call: Call, message: Message) -> None:
        """Begin to tell."""

        def send(response: health_pb2.HealthCheckResponse) -> None:
            call.soon(_send, call, response.SerializeToString())

        request = parse(health_pb2.HealthCheckRequest, message.content())
        call.on_gone(self._health.watch(request, send, lambda: call.soon(call.finish)))
        call.resting = True


def _send(call: Call, content: bytes) -> None:
    call.send((content,))


def _status(ready: bool) -> Any:
    return _Response.SERVING if ready else _Response.NOT_SERVING
