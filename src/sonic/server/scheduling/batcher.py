"""Which of the requests that wait go together: a pure state machine, with time passed in.

Requests are grouped by shape: everything but the first dimension of their tensors is equal within a group. They go in
order of priority, and within a priority in order of arrival; what has waited longer than its queue policy likes goes
behind the others of its priority. No request is split. The group of the request that is first goes first, so nothing
starves but what is always outranked; requests of another shape never hold up a batch that could be formed.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from sonic.server.scheduling.policies import BatchPolicy

T = TypeVar("T")

_Lane = tuple[int, bool]  # a priority level, and whether what is in it is late; the smaller goes first


class _Entry(Generic[T]):
    __slots__ = ("arrived_s", "deadline_s", "item", "lane", "late_s", "refused_s", "rows", "serial", "shape")

    def __init__(self, item: T, rows: int, shape: Hashable, level: int, serial: int, arrived_s: float) -> None:
        self.item: T | None = item  # None once it has left
        self.rows = rows
        self.shape = shape
        self.lane: _Lane = (level, False)
        self.serial = serial
        self.arrived_s = arrived_s
        self.deadline_s = inf
        self.late_s = inf
        self.refused_s = inf


class _Group(Generic[T]):
    """The requests of one shape, and their rows together."""

    __slots__ = ("_order", "lanes", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.lanes: dict[_Lane, deque[_Entry[T]]] = {}
        self._order: list[_Lane] = []

    def __iter__(self) -> Iterator[_Entry[T]]:
        """Iterate in the order in which they go."""
        for lane in self._order:
            yield from self.lanes[lane]

    def rank(self) -> tuple[_Lane, int]:
        """Return what compares it with other groups: the smaller goes first."""
        lane = self._order[0]
        return lane, self.lanes[lane][0].serial

    def due_s(self, delay_s: float) -> float:
        """When it has to wait no more for company: one that is late has waited long enough."""
        return min(-inf if late else self.lanes[level, late][0].arrived_s + delay_s for level, late in self._order)

    def append(self, entry: _Entry[T]) -> None:
        if entry.lane not in self.lanes:
            self.lanes[entry.lane] = deque()
            insort(self._order, entry.lane)
        self.lanes[entry.lane].append(entry)
        self.rows += entry.rows

    def pop(self) -> _Entry[T]:
        lane = self._order[0]
        entry = self.lanes[lane].popleft()
        self.rows -= entry.rows
        self._drop_if_empty(lane)
        return entry

    def drop(self, unwanted: Callable[[T], bool]) -> list[_Entry[T]]:
        dropped: list[_Entry[T]] = []
        for lane, entries in list(self.lanes.items()):
            kept: deque[_Entry[T]] = deque()
            for entry in entries:
                (dropped if entry.item is None or unwanted(entry.item) else kept).append(entry)
            self.lanes[lane] = kept
            self._drop_if_empty(lane)
        self.rows -= sum(entry.rows for entry in dropped)
        return dropped

    def remove(self, entry: _Entry[T]) -> None:
        self.lanes[entry.lane].remove(entry)
        self.rows -= entry.rows
        self._drop_if_empty(entry.lane)

    def _drop_if_empty(self, lane: _Lane) -> None:
        if not self.lanes[lane]:
            del self.lanes[lane]
            self._order.remove(lane)


class Batcher(Generic[T]):
    """The queue of one model.

    Every item added leaves exactly once: in a batch (:meth:`take`), as overdue (:meth:`expire`), as unwanted
    (:meth:`drop`), or when the queue is emptied (:meth:`clear`). Not thread-safe; times are seconds on any one clock.

    Parameters
    ----------
    policy : BatchPolicy

    Attributes
    ----------
    most_rows : int
        Rows that are put together at most; to be lowered where more do not pay. The policy's limit at first.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self.most_rows = policy.max_rows
        self._preferred = frozenset(policy.preferred_rows)
        # A batch of so many rows goes at once. Where requests wait for company, none is made larger either.
        self._enough = policy.max_rows
        if policy.max_delay_s and policy.preferred_rows:
            self._enough = min(self._enough, max(policy.preferred_rows))
        self._few = min((policy.max_rows, *policy.preferred_rows))  # fewer have to wait for the delay
        self._groups: dict[Hashable, _Group[T]] = {}
        # By lane and then arrival, over all groups. What has left stays until it is at the front.
        self._lanes: dict[_Lane, deque[_Entry[T]]] = {}
        self._events: list[tuple[float, int, _Entry[T]]] = []  # when something becomes late or is refused
        self._sizes: dict[int, int] = {}  # by level
        self._serial = 0
        self._size = 0

    def __len__(self) -> int:
        """Return the number of requests that wait."""
        return self._size

    def room(self, level: int = 1) -> float:
        """Return how many more requests of this priority the policy allows to wait; infinity if it sets no bound."""
        bound = self.policy.queue_of(level).max_size
        return max(0, bound - self._sizes.get(level, 0)) if bound else inf

    def passes(self, rows: int) -> bool:
        """Whether a request of so many rows would, added now, be the next batch by itself: it need not be added."""
        policy = self.policy
        return not self._size and (not policy.max_delay_s or rows >= self._enough or rows in self._preferred)

    def add(
        self,
        item: T,
        *,
        now_s: float,
        rows: int = 1,
        shape: Hashable = None,
        deadline_s: float = inf,
        level: int = 1,
        limit_s: float = inf,
    ) -> bool:
        """Put a request into the queue.

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
        level : int
            Its priority, from 1, which goes first.
        limit_s : float
            How long it may wait before its queue policy applies (see :meth:`QueuePolicy.limit_s`).

        Returns
        -------
        bool
            Whether it may have made a batch that should run now, whatever the time.
        """
        self._serial += 1
        entry = _Entry(item, rows, shape, level, self._serial, now_s)
        entry.deadline_s = deadline_s
        if self.policy.queue_of(level).delays:
            entry.late_s, entry.refused_s = now_s + limit_s, deadline_s
        else:
            entry.refused_s = min(deadline_s, now_s + limit_s)
        self._put(entry)
        self._sizes[level] = self._sizes.get(level, 0) + 1
        self._size += 1
        self._announce(entry, min(entry.late_s, entry.refused_s))
        return not self.policy.max_delay_s or self._groups[shape].rows >= min(self.most_rows, self._few)

    def take(self, now_s: float) -> list[T]:
        """Remove and return the batch that should run now; empty if none should yet.

        :meth:`expire` must have been called for the same time.
        """
        head = self._head()
        if head is None:
            return []
        group = self._groups[head.shape]
        if count := self._ready(group, now_s):
            return self._leave(group, count)
        for group in sorted(self._groups.values(), key=_Group.rank):
            if count := self._ready(group, now_s):
                return self._leave(group, count)
        return []

    def expire(self, now_s: float, needed_s: float = 0.0) -> list[T]:
        """Remove and return every request that may wait no longer, and put back those that are late.

        Parameters
        ----------
        now_s : float
        needed_s : float
            How long an execution takes. A request with less time than that left is removed too, but only if others
            wait that can be done in time: under overload, the oldest would otherwise use up the time of all.
        """
        overdue: list[T] = []
        while self._events and (self._events[0][0] <= now_s or self._events[0][2].item is None):
            entry = heapq.heappop(self._events)[2]
            if entry.item is None:
                continue
            self._groups[entry.shape].remove(entry)
            if entry.refused_s <= now_s:
                overdue.append(entry.item)
                self._forget(entry)
            else:
                entry.lane = (entry.lane[0], True)
                entry.late_s = inf
                self._put(entry)
                self._announce(entry, entry.refused_s)
        return [*overdue, *self._hopeless(now_s + needed_s)] if needed_s else overdue

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return what nobody wants any more, in order of arrival. It looks at everything that waits."""
        dropped = [entry for group in list(self._groups.values()) for entry in group.drop(unwanted)]
        dropped.sort(key=lambda entry: entry.serial)
        items = [entry.item for entry in dropped if entry.item is not None]
        for entry in dropped:
            self._forget(entry)
        return items

    def clear(self) -> list[T]:
        """Remove and return every request, in order of arrival."""
        entries = [entry for group in self._groups.values() for entry in group]
        items = [entry.item for entry in sorted(entries, key=lambda entry: entry.serial) if entry.item is not None]
        self._groups.clear()
        self._lanes.clear()
        self._events.clear()
        self._sizes.clear()
        self._size = 0
        return items

    def next_deadline_s(self) -> float:
        """When :meth:`expire` will next have something to do; infinity if never."""
        while self._events and self._events[0][2].item is None:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else inf

    def next_ready_s(self) -> float:
        """When :meth:`take` will at the latest have something, should nothing else arrive; infinity if never."""
        due_s = inf
        for lane in list(self._lanes):
            if (first := self._first(lane)) is not None:
                due_s = min(due_s, -inf if lane[1] else first.arrived_s + self.policy.max_delay_s)
        return due_s

    def _put(self, entry: _Entry[T]) -> None:
        group = self._groups.get(entry.shape)
        if group is None:
            group = self._groups[entry.shape] = _Group()
        group.append(entry)
        lane = self._lanes.get(entry.lane)
        if lane is None:
            lane = self._lanes[entry.lane] = deque()
        lane.append(entry)
        if len(lane) > 64 + 2 * self._size:  # most of it has left, from behind one that waits
            self._lanes[entry.lane] = deque(e for e in lane if e.item is not None and e.lane == entry.lane)

    def _announce(self, entry: _Entry[T], when_s: float) -> None:
        if when_s == inf:
            return
        heapq.heappush(self._events, (when_s, entry.serial, entry))
        if len(self._events) > 64 + 2 * self._size:  # most of it has left long before
            self._events = [event for event in self._events if event[2].item is not None]
            heapq.heapify(self._events)

    def _head(self) -> _Entry[T] | None:
        for lane in sorted(self._lanes) if len(self._lanes) > 1 else list(self._lanes):
            if (first := self._first(lane)) is not None:
                return first
        return None

    def _hopeless(self, before_s: float) -> list[T]:
        """Remove and return every request with a deadline up to then, unless all that wait are such."""
        events: list[tuple[float, int, _Entry[T]]] = []
        while self._events and self._events[0][0] <= before_s:
            events.append(heapq.heappop(self._events))
        found = [event[2] for event in events if event[2].item is not None and event[2].deadline_s <= before_s]
        if len(found) == self._size:
            found = []
        items: list[T] = []
        for entry in found:
            assert entry.item is not None  # noqa: S101 - as found
            items.append(entry.item)
            self._groups[entry.shape].remove(entry)
            self._forget(entry)
        for event in events:
            if event[2].item is not None:
                heapq.heappush(self._events, event)
        return items

    def _first(self, lane: _Lane) -> _Entry[T] | None:
        entries = self._lanes[lane]
        while entries:
            if entries[0].item is not None and entries[0].lane == lane:
                return entries[0]
            entries.popleft()
        del self._lanes[lane]
        return None

    def _ready(self, group: _Group[T], now_s: float) -> int:
        """Return how many requests at the front of a group go now; 0 while it is better to wait."""
        rows = count = preferred = 0
        closed = False
        most = min(self.most_rows, self._enough)
        for entry in group:
            if count and rows + entry.rows > most:
                closed = True
                break
            rows += entry.rows
            count += 1
            if rows in self._preferred:
                preferred = count
        if preferred:
            return preferred
        # The sum is the one that next_ready_s gives, so that who waits for it does not wake in vain.
        if closed or rows >= most or now_s >= group.due_s(self.policy.max_delay_s):
            return count
        return 0

    def _leave(self, group: _Group[T], count: int) -> list[T]:
        batch: list[T] = []
        for _ in range(count):
            entry = group.pop()
            assert entry.item is not None  # noqa: S101 - what has left is in no group
            batch.append(entry.item)
            self._forget(entry)
        return batch

    def _forget(self, entry: _Entry[T]) -> None:
        entry.item = None
        self._size -= 1
        self._sizes[entry.lane[0]] -= 1
        group = self._groups.get(entry.shape)
        if group is not None and not group.lanes:
            del self._groups[entry.shape]
