"""The requests that a scheduler has taken, until their futures have ended, and who waits for that."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sonic.server.scheduling.job import Job


class Taken:
    """Jobs whose futures have not ended. Thread-safe, and without a lock where nobody waits: the set needs none."""

    def __init__(self) -> None:
        self._jobs: set[Job] = set()
        self._empty = threading.Condition()
        self._waiting = 0

    def add(self, job: Job) -> None:
        """Add one."""
        self._jobs.add(job)

    def end(self, jobs: Iterable[Job]) -> None:
        """Take away jobs whose futures have ended."""
        self._jobs.difference_update(jobs)
        # Who waits says so first and looks then, so that either sees what the other has done.
        if self._waiting and not self._jobs:
            with self._empty:
                self._empty.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there are none; False if that takes longer than `timeout_s` seconds."""
        with self._empty:
            self._waiting += 1
            try:
                return self._empty.wait_for(lambda: not self._jobs, timeout_s)
            finally:
                self._waiting -= 1
