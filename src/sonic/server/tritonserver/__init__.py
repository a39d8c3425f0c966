"""``sonic-tritonserver``: the server under tritonserver's command line and log, for what starts Triton today."""

from __future__ import annotations

from sonic.server.tritonserver.main import main

__all__ = ["main"]
