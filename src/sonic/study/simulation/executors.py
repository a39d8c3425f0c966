"""What executes batches on virtual time: instances that compute, or the model of an FPGA card. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Protocol

from sonic.firmware.device.timing import Timeline
from sonic.study.simulation.processor import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sonic.firmware.device.timing import CardModel
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.loop import Loop
    from sonic.study.simulation.processor import Processor
    from sonic.study.simulation.service import Service


class Executor(Protocol):
    """Executes batches."""

    def run(self, rows: int, done: Callable[[], object], *, wake_s: float = 0.0, loop: Loop | None = None) -> Task:
        """Begin an execution, which takes so much more for finding its instance idle; `done` is called at its end.

        In a thread of its own, or in that of the `loop` which calls this.
        """

    def stop(self, task: Task) -> None:
        """End one before its time; nobody is told."""


class Computing:
    """Executions that take processor time.

    Parameters
    ----------
    service : Service
    processor : Processor
    random : random.Random
    threads : float
        That an execution has.
    speed : float
        By which service times are divided.
    """

    def __init__(
        self, service: Service, processor: Processor, random: Random, *, threads: float = 1.0, speed: float = 1.0
    ) -> None:
        self._service = service
        self._processor = processor
        self._random = random
        self._threads = threads
        self._speed = speed

    def run(self, rows: int, done: Callable[[], object], *, wake_s: float = 0.0, loop: Loop | None = None) -> Task:
        """Begin one."""
        work_s = max(0.0, self._service.draw_s(rows, self._random) + wake_s) / self._speed
        if loop is not None:
            task = Task(done, 0.0, 0.0)  # of no thread but the loop's
            loop.at_once(work_s, task.end)
            return task
        return self._processor.run(work_s, done, self._threads)

    def stop(self, task: Task) -> None:
        """End one."""
        self._processor.stop(task)


class OnCard:
    """Executions on an FPGA card, by the model of one that serves emulators too.

    Parameters
    ----------
    clock : Clock
    model : CardModel
    """

    def __init__(self, clock: Clock, model: CardModel) -> None:
        self._clock = clock
        self._block = model.block
        self._timeline = Timeline(model)

    def run(
        self,
        rows: int,
        done: Callable[[], object],
        *,
        wake_s: float = 0.0,  # noqa: ARG002 - never sleeps
        loop: Loop | None = None,  # noqa: ARG002 - is no thread
    ) -> Task:
        """Begin one: all of its blocks, the last one padded."""
        now_s = done_s = self._clock.now_s()
        for _ in range(ceil(rows / self._block)):
            done_s = self._timeline.enqueue(now_s).done_s
        task = Task(done, 1.0, done_s)
        self._clock.after(done_s - now_s, task.end)
        return task

    def stop(self, task: Task) -> None:
        """Tell nobody of its end; the card goes on."""
        task.done = None
