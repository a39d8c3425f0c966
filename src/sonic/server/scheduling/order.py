"""Results given out in the order in which their requests came, by whichever thread comes by."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from sonic.server.scheduling.job import Job
    from sonic.server.scheduling.taken import Taken


class Order:
    """Jobs whose futures end one after the other.

    Parameters
    ----------
    lock : Lock
    taken : Taken
        Which they leave when they have ended.
    """

    def __init__(self, lock: threading.Lock, taken: Taken) -> None:
        self._lock = lock
        self._taken = taken
        self._jobs: deque[Job] = deque()  # in the order of their arrival
        self._due: deque[Job] = deque()  # those whose turn it is
        self._giving = False

    def append(self, job: Job) -> None:
        """Add the one that came last. The lock is held."""
        self._jobs.append(job)

    @property
    def owes(self) -> bool:
        """Whether there is one whose turn it is, and no thread that ends it. The lock is held."""
        return bool(self._due) and not self._giving

    def advance(self) -> Iterator[Job]:
        """Iterate over those whose turn it now is, which :meth:`give` then ends. The lock is held."""
        while self._jobs and (self._jobs[0].ended or self._jobs[0].result is not None):
            job = self._jobs.popleft()
            if not job.ended:
                self._due.append(job)
                yield job

    def give(self) -> None:
        """End those whose turn it is. One thread does at a time, or they could overtake. The lock is not held."""
        with self._lock:
            if self._giving:
                return
            self._giving = True
        while True:
            with self._lock:
                job = self._due.popleft() if self._due else None
                if job is None or job.result is None:
                    self._giving = False
                    return
            try:
                job.deliver(job.result)
            except BaseException:  # an interrupt; the next thread goes on
                self._giving = False
                raise
            finally:
                self._taken.end((job,))
