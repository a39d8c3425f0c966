"""Which of the requests that wait go together: a pure state machine, with time passed in.

Requests are grouped by shape: everything but the first dimension of their tensors is equal within a group. Within a
group the order of arrival is kept, and no request is split. The group of the oldest request goes first, so nothing
starves; requests of another shape never hold up a batch that could be formed.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests of one model are put together.

    Parameters
    ----------
    max_rows : int
        Rows of a batch are never above it; 0: the model has no batch dimension, every request goes alone.
    preferred_rows : tuple of int
        Sizes at which a batch goes at once. Without a delay they only choose where a long queue is cut.
    max_delay_s : float
        How long the oldest request may wait for company while an instance is idle.
    max_queue : int
        Requests that may wait; 0: no bound.
    """

    max_rows: int = 0
    preferred_rows: tuple[int, ...] = ()
    max_delay_s: float = 0.0
    max_queue: int = 0


class _Entry(Generic[T]):
    __slots__ = ("arrived_s", "deadline_s", "item", "rows", "shape")

    def __init__(self, item: T, rows: int, shape: Hashable, arrived_s: float, deadline_s: float) -> None:
        self.item: T | None = item  # None once it has left
        self.rows = rows
        self.shape = shape
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s


class Batcher(Generic[T]):
    """The queue of one model.

    Every item added leaves exactly once: in a batch (:meth:`take`), as overdue (:meth:`expire`), or when the queue
    is emptied (:meth:`clear`). Not thread-safe; times are seconds on any one clock.

    Parameters
    ----------
    policy : BatchPolicy
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self._preferred = frozenset(policy.preferred_rows)
        self._groups: dict[Hashable, deque[_Entry[T]]] = {}
        self._arrivals: deque[_Entry[T]] = deque()
        self._deadlines: list[tuple[float, int, _Entry[T]]] = []
        self._serial = 0  # ties of the heap
        self._size = 0

    def __len__(self) -> int:
        """Return the number of requests that wait."""
        return self._size

    @property
    def full(self) -> bool:
        """Whether the policy allows no further request to wait."""
        return bool(self.policy.max_queue) and self._size >= self.policy.max_queue

    def add(self, item: T, rows: int = 1, shape: Hashable = None, *, now_s: float, deadline_s: float = inf) -> None:
        """Put a request at the end of the queue.

        Parameters
        ----------
        item : object
            Whatever the caller wants back.
        rows : int
            Rows it brings to a batch. One with more than ``max_rows`` goes alone.
        shape : hashable
            Requests go together only if theirs are equal.
        now_s, deadline_s : float
            When it arrived, and when waiting longer is of no use.
        """
        entry = _Entry(item, rows, shape, now_s, deadline_s)
        group = self._groups.get(shape)
        if group is None:
            group = self._groups[shape] = deque()
        group.append(entry)
        self._arrivals.append(entry)
        self._size += 1
        if deadline_s != inf:
            self._serial += 1
            heapq.heappush(self._deadlines, (deadline_s, self._serial, entry))
            if len(self._deadlines) > 64 + 2 * self._size:  # most of it has left long before its deadline
                self._deadlines = [d for d in self._deadlines if d[2].item is not None]
                heapq.heapify(self._deadlines)

    def take(self, now_s: float) -> list[T]:
        """Remove and return the batch that should run now; empty if none should yet.

        Overdue requests must have been removed by :meth:`expire` at the same time.
        """
        head = self._head()
        if head is None:
            return []
        group = self._groups[head.shape]
        if count := self._ready(group, now_s):
            return self._leave(group, count)
        for group in self._groups.values():
            if count := self._ready(group, now_s):
                return self._leave(group, count)
        return []

    def expire(self, now_s: float) -> list[T]:
        """Remove and return every request whose deadline has come."""
        overdue: list[T] = []
        while self._deadlines and (self._deadlines[0][0] <= now_s or self._deadlines[0][2].item is None):
            entry = heapq.heappop(self._deadlines)[2]
            if entry.item is not None:
                overdue.append(entry.item)
                self._groups[entry.shape].remove(entry)
                self._forget(entry)
        return overdue

    def clear(self) -> list[T]:
        """Remove and return every request, in order of arrival."""
        items = [entry.item for entry in self._arrivals if entry.item is not None]
        self._groups.clear()
        self._arrivals.clear()
        self._deadlines.clear()
        self._size = 0
        return items

    def next_deadline_s(self) -> float:
        """When :meth:`expire` will next have something; infinity if never."""
        while self._deadlines and self._deadlines[0][2].item is None:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else inf

    def next_ready_s(self) -> float:
        """When :meth:`take` will at the latest have something, should nothing else arrive; infinity if never."""
        head = self._head()
        return head.arrived_s + self.policy.max_delay_s if head is not None else inf

    def _head(self) -> _Entry[T] | None:
        while self._arrivals and self._arrivals[0].item is None:
            self._arrivals.popleft()
        return self._arrivals[0] if self._arrivals else None

    def _ready(self, group: deque[_Entry[T]], now_s: float) -> int:
        """Return how many requests at the front of a group go now; 0 while it is better to wait."""
        rows = count = preferred = 0
        closed = False
        for entry in group:
            if count and rows + entry.rows > self.policy.max_rows:
                closed = True
                break
            rows += entry.rows
            count += 1
            if rows in self._preferred:
                preferred = count
        if preferred:
            return preferred
        # The sum is the one that next_ready_s gives, so that who waits for it does not wake in vain.
        if closed or rows >= self.policy.max_rows or now_s >= group[0].arrived_s + self.policy.max_delay_s:
            return count
        return 0

    def _leave(self, group: deque[_Entry[T]], count: int) -> list[T]:
        batch: list[T] = []
        for _ in range(count):
            entry = group.popleft()
            assert entry.item is not None  # noqa: S101 - what has left is in no group
            batch.append(entry.item)
            self._forget(entry)
        return batch

    def _forget(self, entry: _Entry[T]) -> None:
        entry.item = None
        self._size -= 1
        if not self._groups[entry.shape]:
            del self._groups[entry.shape]
