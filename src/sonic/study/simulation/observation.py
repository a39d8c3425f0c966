"""What is counted in a simulation, from the end of its warm-up on. Pure."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from sonic.study.records import ServerWindow, executed
from sonic.study.simulation.job import Told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sonic.errors import InferenceError
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.queueing import Counts


class Observation(Told):
    """Counts what ends from a time on.

    Parameters
    ----------
    clock : Clock
    from_s : float

    Attributes
    ----------
    latencies_s : array of float
        Of requests that succeeded, in the order in which they ended.
    requests, errors, rows : int
        Requests that succeeded and that failed, and rows of the former.
    chunks, lost : int
        Chunks that were done, and that a failed request spoiled.
    modules_s : dict of str to (float, int)
        Sum of a module's times, from when it could begin to its end, and how many.
    ended : int
        Requests, since the beginning.
    parts : list of int
        How many latencies there were whenever :meth:`cut` was called.
    """

    def __init__(self, clock: Clock, from_s: float) -> None:
        self._clock = clock
        self._from_s = from_s
        self.latencies_s = array("d")
        self.chunk_s = array("d")
        self.requests = self.errors = self.rows = self.chunks = self.lost = self.ended = 0
        self.modules_s: dict[str, tuple[float, int]] = {}
        self.parts: list[int] = []

    def cut(self) -> None:
        """End a part of the time."""
        self.parts.append(len(self.latencies_s))

    def request(self, rows: int, sent_s: float, error: InferenceError | None) -> None:
        """Count a request."""
        self.ended += 1
        now_s = self._clock.now_s()
        if now_s < self._from_s:
            return
        if error is not None:
            self.errors += 1
            return
        self.requests += 1
        self.rows += rows
        self.latencies_s.append(now_s - sent_s)

    def chunk(self, began_s: float, error: InferenceError | None) -> None:
        """Count a chunk."""
        now_s = self._clock.now_s()
        if now_s < self._from_s:
            return
        if error is not None:
            self.lost += 1
        else:
            self.chunks += 1
            self.chunk_s.append(now_s - began_s)

    def module(self, name: str, ready_s: float) -> None:
        """Add up a module's time."""
        now_s = self._clock.now_s()
        if now_s >= self._from_s:
            total_s, count = self.modules_s.get(name, (0.0, 0))
            self.modules_s[name] = total_s + now_s - ready_s, count + 1


class Total:
    """The counters of several queues together, at one time.

    Parameters
    ----------
    counts : iterable of Counts
    """

    def __init__(self, counts: Iterable[Counts]) -> None:
        self.requests = self.failures = self.executions = self.rows = 0
        self.queue_s = self.infer_s = 0.0
        self.sizes: dict[int, tuple[int, float]] = {}
        for each in counts:
            self.requests += each.requests
            self.failures += each.failures
            self.executions += each.executions
            self.rows += each.rows
            self.queue_s += each.queue_s
            self.infer_s += each.infer_s
            for rows, (number, all_s) in each.sizes.items():
                others, others_s = self.sizes.get(rows, (0, 0.0))
                self.sizes[rows] = others + number, others_s + all_s

    def since(
        self, before: Total, *, cpu_s: float | None = None, gpu_use: float | None = None, by_size: bool = False
    ) -> ServerWindow:
        """Return what came between, as a server's statistics give it; `by_size` if all is of one model."""
        requests = self.requests - before.requests
        return ServerWindow(
            requests=requests,
            failures=self.failures - before.failures,
            executions=self.executions - before.executions,
            rows=self.rows - before.rows,
            queue_s=(self.queue_s - before.queue_s) / max(requests, 1),
            input_s=0.0,
            infer_s=(self.infer_s - before.infer_s) / max(requests, 1),
            output_s=0.0,
            cpu_s=cpu_s,
            gpu_use=gpu_use,
            sizes=executed(before.sizes, self.sizes) if by_size else (),
        )
