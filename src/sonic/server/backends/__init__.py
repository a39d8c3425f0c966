"""What executes models. A backend is one file and an entry point of the group ``sonic.backends``."""

from __future__ import annotations

from sonic.server.backends.base import (
    Backend,
    Instance,
    LoadContext,
    Rows,
    Signature,
    backend_for,
    register_backend,
)

__all__ = ["Backend", "Instance", "LoadContext", "Rows", "Signature", "backend_for", "register_backend"]
