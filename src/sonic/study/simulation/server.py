"""Servers on virtual time, and how they fail. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ModelNotFound, Unavailable
from sonic.study.simulation.loop import Loop
from sonic.study.simulation.processor import Thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.errors import InferenceError
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.network import Site
    from sonic.study.simulation.processor import Processor
    from sonic.study.simulation.queueing import Answer, ModelQueue

REFUSAL_S = 1e-4
"""What it takes a client to learn that a server does not take its request, besides the network."""


class Server:
    """A server: a front end, which is one thread, and the queues of its models.

    Parameters
    ----------
    clock : Clock
    name : str
    models : mapping of str to ModelQueue
    site : Site
        Where it is.
    processor : Processor
        That its front end runs on.
    overhead_s : float
        Of the front end for a request, half before its execution and half after.
    wake_s : float
        More of it for a request that finds the front end idle.
    speed : float
        Of its models, for a balancer that knows it.

    Attributes
    ----------
    up, hangs : bool
        Whether it lives; if not, whether clients are told, or never hear of it again.
    """

    def __init__(
        self,
        clock: Clock,
        name: str,
        models: Mapping[str, ModelQueue],
        site: Site,
        processor: Processor,
        overhead_s: float = 0.0,
        wake_s: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self.name = name
        self.models = models
        self.site = site
        self.speed = speed
        self.up = True
        self.hangs = False
        self._clock = clock
        self._processor = processor
        self._wake_s = wake_s
        self._begin()
        self._half_s = overhead_s / 2
        self._present: dict[int, Answer] = {}
        self._taken = 0

    def __len__(self) -> int:
        """Return the number of requests that it has."""
        return len(self._present)

    def take(self, model: str, rows: int, answer: Answer, timeout_s: float | None = None) -> None:
        """Take a request that has arrived; `answer` is called once, unless the server hangs."""
        queue = self.models.get(model)
        if not self.up:
            self._refuse(answer, Unavailable(f"{self.name} is not there"))
        elif queue is None:
            self._refuse(answer, ModelNotFound(f"{self.name} has no model {model!r}"))
        else:
            self._taken += 1
            number = self._taken
            self._present[number] = answer
            self._front.run(self._half_s, lambda: self._queue(queue, rows, number, timeout_s))

    def fail(self, *, hangs: bool = False) -> None:
        """Die, with all that it has."""
        self.up, self.hangs = False, hangs
        lost, self._present = self._present, {}
        for queue in self.models.values():
            queue.clear()
        for answer in lost.values():
            self._refuse(answer, Unavailable(f"{self.name} has died"))

    def come_back(self) -> None:
        """Be there again, with empty queues."""
        self.up, self.hangs = True, False
        self._begin()

    def _begin(self) -> None:
        executes = any(queue.short_s for queue in self.models.values())
        self._loop = Loop(self._processor, self._wake_s) if executes else None
        self._front = self._loop or Thread(self._processor, self._wake_s)

    def _queue(self, queue: ModelQueue, rows: int, number: int, timeout_s: float | None) -> None:
        if number in self._present:  # else it died meanwhile
            queue.submit(rows, lambda error: self._executed(number, error), timeout_s, self._loop)

    def _executed(self, number: int, error: InferenceError | None) -> None:
        if error is None:
            write = self._front.run if self._loop is None else self._loop.answer
            write(self._half_s, lambda: self._answer(number))
        elif (answer := self._present.pop(number, None)) is not None:
            self._refuse(answer, error)

    def _answer(self, number: int) -> None:
        if (answer := self._present.pop(number, None)) is not None:
            answer(None)

    def _refuse(self, answer: Answer, error: InferenceError) -> None:
        # Not at once: who tries again at once would do so for ever, without that time passes.
        if not self.hangs:
            self._clock.after(REFUSAL_S, lambda: answer(error))
