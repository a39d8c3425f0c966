"""Servers of one's own: in this process, as a child process or in a container, for when the others fail."""

from __future__ import annotations

from sonic.client.fallback.description import Fallback
from sonic.client.fallback.serve import ServeProcess
from sonic.client.fallback.spare import Spare

__all__ = ["Fallback", "ServeProcess", "Spare"]
