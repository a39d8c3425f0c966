"""Models made of other models: ``ensemble_scheduling`` in config.pbtxt."""

from __future__ import annotations

from sonic.server.backends.ensemble.backend import EnsembleBackend

__all__ = ["EnsembleBackend"]
