"""Which process does which chunks, and which chunk is written next.

Pure: no process, no pipe and no clock. Chunks are handed out in order, as spans that get shorter towards the end, so
that all processes end at about the same time; not too short, since what a span is a part of is decompressed whole.
Chunks that were handed out and are not written are bounded, which bounds what waits for an earlier chunk.

When a process dies, the chunks that it had are suspects: one of them may be why. Each is then done by itself, by a
process that has no other, so that the next death says which it was.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sonic.framework.policy import OnError
    from sonic.framework.source import Span

_SHARES = 4
"""A span is at most this part of what each process still has to do, and at least this part of the longest one."""

_MAX_SPAN = 4096
"""Chunks in a span, however small they are: each costs some memory besides its events."""


@dataclass
class _Held:
    """What one process has to do."""

    spans: list[Span] = field(default_factory=list)
    todo: set[int] = field(default_factory=set)
    alone: bool = False


@dataclass(frozen=True)
class Loss:
    """What a process had not done when it died.

    Parameters
    ----------
    spans : tuple of Span
        All of it.
    given_up : tuple of Span
        Single chunks of it that are not to be done again.
    """

    spans: tuple[Span, ...]
    given_up: tuple[Span, ...]


class Leases:
    """Hands out chunks and takes them back.

    Parameters
    ----------
    spans : iterable of Span
        What there is to do.
    processes : int
        How many share it.
    at_once : int
        About how many chunks are read in one go.
    streams : int
        Chunks that a process has in flight.
    ordered : bool
        Whether chunks are to be written in order.
    on_error : OnError
    """

    def __init__(
        self, spans: Iterable[Span], processes: int, *, at_once: int, streams: int, ordered: bool, on_error: OnError
    ) -> None:
        self._spans = deque(spans)
        self._left = sum(map(len, self._spans))
        self._processes = processes
        self._longest = max(1, min(at_once, _MAX_SPAN, self._left // (_SHARES * processes)))
        self._shortest = -(-self._longest // _SHARES)
        self._streams = streams
        self._ordered = ordered
        self._on_error = on_error
        self._room = 2 * processes * (max(streams, self._longest) + self._longest)
        self._held: dict[int, _Held] = {}
        self._suspects: deque[Span] = deque()
        self._deaths: Counter[int] = Counter()
        self._unwritten = 0  # chunks that were handed out
        self._order: deque[int] = deque()  # those, in the order in which they are to be written
        self._arrived: dict[int, Any] = {}

    @property
    def over(self) -> bool:
        """Whether every chunk is written."""
        return not self._left and not self._unwritten

    def grant(self, process: int) -> Span | None:
        """Give a process more to do; None: nothing now."""
        held = self._held.setdefault(process, _Held())
        if self._suspects:
            if held.todo:
                return None
            held.alone = True
            return self._hand(held, self._suspects.popleft())
        if held.alone and held.todo:
            return None
        held.alone = False
        longest = min(self._longest, max(self._shortest, self._left // (_SHARES * self._processes)))
        if not self._left or len(held.todo) > max(self._streams, longest):
            return None
        if self._unwritten + longest > self._room:
            return None
        span = self._spans.popleft()
        if len(span) > longest:
            self._spans.appendleft(replace(span, first=span.first + longest))
            span = replace(span, stop=span.first + longest)
        self._left -= len(span)
        self._unwritten += len(span)
        if self._ordered:
            self._order.extend(range(span.first, span.stop))
        return self._hand(held, span)

    def put(self, process: int, chunk: int, item: object) -> None:
        """Take what a process made of a chunk, or what is to stand for it if the process died."""
        if process in self._held:
            self._held[process].todo.discard(chunk)
        self._arrived[chunk] = item
        if not self._ordered:
            self._order.append(chunk)

    def take(self) -> Any:
        """Return what is to be written next, or None."""
        if not self._order or self._order[0] not in self._arrived:
            return None
        self._unwritten -= 1
        return self._arrived.pop(self._order.popleft())

    def lost(self, process: int) -> Loss:
        """Note that a process died, and judge what it had not done."""
        held = self._held.pop(process, _Held())
        unfinished = [one for span in held.spans for one in _singly(span) if one.first in held.todo]
        again: list[Span] = []
        given_up: list[Span] = []
        for one in unfinished:
            self._deaths[one.first] += 1
            innocent = self._on_error.skip and len(unfinished) > 1
            (again if innocent or self._deaths[one.first] <= self._on_error.retries else given_up).append(one)
        self._suspects.extend(again)
        return Loss(_joined(unfinished), tuple(given_up))

    def _hand(self, held: _Held, span: Span) -> Span:
        held.spans = [old for old in held.spans if not held.todo.isdisjoint(range(old.first, old.stop))]
        held.spans.append(span)
        held.todo.update(range(span.first, span.stop))
        return span


def _singly(span: Span) -> Iterator[Span]:
    for chunk in range(span.first, span.stop):
        yield replace(span, first=chunk, stop=chunk + 1)


def _joined(singles: Sequence[Span]) -> tuple[Span, ...]:
    """Put neighbours of one file together."""
    joined: list[Span] = []
    for one in sorted(singles, key=lambda span: span.first):
        if joined and (joined[-1].visit, joined[-1].stop) == (one.visit, one.first):
            joined[-1] = replace(joined[-1], stop=one.stop)
        else:
            joined.append(one)
    return tuple(joined)
