"""How requests of a model wait, and how they are put together: what its owner asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What becomes of requests of one priority while they wait.

    Parameters
    ----------
    timeout_s : float
        How long one may wait.
    delays : bool
        What becomes of one that has waited so long: False, it is refused; True, it goes when no other of its priority
        waits.
    allow_override : bool
        Whether a request may bring a shorter timeout of its own.
    max_size : int
        Requests that may wait; 0: no bound.
    """

    timeout_s: float = inf
    delays: bool = False
    allow_override: bool = False
    max_size: int = 0

    def limit_s(self, own_s: float | None) -> float:
        """How long a request may wait that brings `own_s`; None: it brings nothing."""
        return min(self.timeout_s, own_s) if self.allow_override and own_s is not None else self.timeout_s


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests of one model are put together.

    Parameters
    ----------
    max_rows : int
        Most rows of a batch; 0: the model has no batch dimension, every request goes alone.
    preferred_rows : tuple of int
        A batch that reaches one of these sizes goes at once, and none is made larger than the largest of them. Without
        `max_delay_s` they only say where a long queue is cut.
    max_delay_s : float
        How long the oldest request may wait for company while an instance is idle.
    queue : QueuePolicy
        For the priorities that `queues` does not name.
    queues : mapping of int to QueuePolicy
    levels : int
        Priorities that there are: 1, which goes first, to this one.
    default_level : int
        Priority of requests that ask for none of these.
    in_order : bool
        Whether results are given back in the order in which the requests came.
    """

    max_rows: int = 0
    preferred_rows: tuple[int, ...] = ()
    max_delay_s: float = 0.0
    queue: QueuePolicy = QueuePolicy()
    queues: Mapping[int, QueuePolicy] = field(default_factory=dict)
    levels: int = 1
    default_level: int = 1
    in_order: bool = False

    def level(self, priority: int) -> int:
        """Priority of a request that asks for this one."""
        return priority if 0 < priority <= self.levels else self.default_level

    def queue_of(self, level: int) -> QueuePolicy:
        """Policy for one priority."""
        return self.queues.get(level, self.queue)
