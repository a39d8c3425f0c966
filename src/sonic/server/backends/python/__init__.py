"""Models written in Python: a ``model.py`` with Triton's ``TritonPythonModel`` contract."""

from __future__ import annotations

from sonic.server.backends.python.backend import PythonBackend

__all__ = ["PythonBackend"]
