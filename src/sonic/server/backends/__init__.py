"""What executes models. A backend is one file and an entry point of the group ``sonic.backends``."""

from __future__ import annotations

from sonic.server.backends.base import Backend, LoadContext, backend_for, register_backend
from sonic.server.backends.completion import Signature
from sonic.server.execution.instances import Call, CallInstance, Instance, Reply, Rows

__all__ = [
    "Backend",
    "Call",
    "CallInstance",
    "Instance",
    "LoadContext",
    "Reply",
    "Rows",
    "Signature",
    "backend_for",
    "register_backend",
]
