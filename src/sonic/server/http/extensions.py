"""The routes of the protocol's smaller extensions over HTTP: shared memory, traces, logging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sonic.errors import InvalidRequest, Unsupported, shown
from sonic.protocol import documents
from sonic.server.sharedmemory import NO_CUDA

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.dataplane import Dataplane


class Call(msgspec.Struct, frozen=True):
    """What an extension needs of a request: the parts of its path, its body, and who sends it."""

    path: dict[str, str]
    body: bytes
    peer: str


class _Register(msgspec.Struct):
    key: str
    byte_size: int
    offset: int = 0


def extension_routes(dataplane: Dataplane) -> tuple[tuple[tuple[str, ...], str, Callable[[Call], Any]], ...]:
    """Return methods and path of each, and the function that makes of a call the document that answers it."""
    extensions = _Extensions(dataplane)
    get, post = ("GET",), ("POST",)
    system, cuda = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
    return (
        (get, f"{system}/status", extensions.memory_status),
        (get, f"{system}/region/{{region}}/status", extensions.memory_status),
        (post, f"{system}/region/{{region}}/register", extensions.memory_register),
        (post, f"{system}/unregister", extensions.memory_unregister),
        (post, f"{system}/region/{{region}}/unregister", extensions.memory_unregister),
        (get, f"{cuda}/status", lambda _: []),  # none is registered ever
        (get, f"{cuda}/region/{{region}}/status", extensions.no_cuda),
        (post, f"{cuda}/region/{{region}}/register", extensions.no_cuda),
        (post, f"{cuda}/unregister", lambda _: {}),
        (post, f"{cuda}/region/{{region}}/unregister", lambda _: {}),
        (get + post, "/v2/trace/setting", extensions.trace),
        (get + post, "/v2/models/{model}/trace/setting", extensions.trace),
        (get + post, "/v2/logging", extensions.log),
    )


class _Extensions:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._memory = dataplane.memory

    def memory_status(self, call: Call) -> Any:
        self._memory.check_peer(call.peer)
        return [
            {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.byte_size}
            for region in self._memory.status(call.path.get("region", ""))
        ]

    def memory_register(self, call: Call) -> Any:
        self._memory.check_peer(call.peer)
        asked = documents.decode_as(call.body, _Register, "a register request")
        self._memory.register(call.path["region"], asked.key, asked.offset, asked.byte_size)
        return {}

    def memory_unregister(self, call: Call) -> Any:
        self._memory.check_peer(call.peer)
        self._memory.unregister(call.path.get("region", ""))
        return {}

    def no_cuda(self, _: Call) -> Any:
        raise Unsupported(NO_CUDA)

    def trace(self, call: Call) -> Any:
        changes: dict[str, list[str] | None] = {}
        for name, value in _changes(call).items():
            values = value if isinstance(value, list) or value is None else [value]
            if values is not None and not all(isinstance(text, str | int) for text in values):
                raise InvalidRequest(f"trace setting {name} is a string or strings, given {shown(value)}")
            changes[name] = [str(text) for text in values] if values else None
        settings = self._dataplane.trace_settings(call.path.get("model", ""), changes)
        return {name: list(values) if name == "trace_level" else values[0] for name, values in settings.items()}

    def log(self, call: Call) -> Any:
        return self._dataplane.logs.update(_changes(call))


def _changes(call: Call) -> dict[str, Any]:
    return documents.decode_as(call.body, dict[str, Any], "an object of settings") if call.body else {}
