"""Ctrl-C, which a terminal sends to all of its processes: children leave it to their parent from the beginning."""

from __future__ import annotations

import signal
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess


def start(process: SpawnProcess) -> None:
    """Start a child that Ctrl-C does not reach until it calls :func:`ignore`.

    While it imports it could only end in a traceback.
    """
    resource_tracker.ensure_running()  # started with the first child, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Ignore it from now on, in a child: its parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
