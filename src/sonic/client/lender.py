"""The regions that one server has registered: made, lent to requests, given up, and made anew when it forgot them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from sonic.client.regions import MemoryUse, Region, RegionPool
from sonic.client.segments import Segment, sweep
from sonic.client.workers import Workers
from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, Unavailable
from sonic.protocol.ownership import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonic.client.regions import Growth

log = logging.getLogger("sonic.client")

_CONTROL_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 1.0
_MADE_S = 0.2
"""At the end, for a region that is just being made."""
_STRIKES = 3
"""So many refusals in a row of regions that the server had registered, and it is left alone for a while."""
_PAUSE_S, _MOST_PAUSE_S = 10.0, 600.0
_TRUSTED = 100
"""After so many answers in a row the next pause is a short one again. Behind a balancer of several servers a request
comes now to the one that knows its region, and now to another."""
_UNREACHED_S = 1.0
"""Until a server is asked again that could not be reached."""


class Registrar(Protocol):
    """A server that maps shared memory, and forgets it."""

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""

    def register(self, name: str, key: str, byte_size: int, timeout_s: float | None = None) -> None:
        """Have it map shared memory under a name.

        Raises
        ------
        InferenceError
            As it answered.
        """

    def unregister(self, name: str, timeout_s: float | None = None) -> None:
        """Have it forget a region; nothing happens if it does not know of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """A region that one request has to itself."""

    region: Region
    segment: Segment


class Lender:
    """Lends regions that a server has registered, and sees to it that there are enough. Thread-safe.

    Nothing here waits, except in the background and at the end: what is not there is made for the next request.

    Parameters
    ----------
    server : Registrar
    near : callable
        Whether the server is on this host; asked once, in the background.
    max_bytes : int
        What all regions may take up together.
    folder : Path, optional
        Where the system keeps shared memory.
    make : callable, optional
        Makes a :class:`~sonic.client.segments.Segment` of so many bytes, or raises OSError.
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(
        self,
        server: Registrar,
        near: Callable[[], bool],
        max_bytes: int,
        *,
        folder: Path = FOLDER,
        make: Callable[[int, Path], Segment] = Segment,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._server = server
        self._asks_near = near
        self._folder = folder
        self._make = make
        self._clock = clock
        self._changed = Condition()
        self._pool = RegionPool(max_bytes)
        self._segments: dict[Region, Segment] = {}
        self._workers = Workers(2, "sonic-memory")
        self._tasks = 0
        self._near: bool | None = None
        self._growing = False
        self._closed = False
        self._epoch = 0
        self._strikes = 0
        self._streak = 0
        self._pauses = 0
        self._grows_from_s = float("-inf")
        self._reason = ""
        self._logged: set[str] = set()
        self._requests = 0
        self._over_wire = 0

    @property
    def usable(self) -> bool:
        """Whether there is any use in asking."""
        return self._near is not False and not self._closed

    def take(self, byte_size: int) -> Lease | None:
        """Lend a region of at least so many bytes; None if there is none, and then one may be made."""
        with self._changed:
            if not self.usable:
                return None
            region = self._pool.take(byte_size)
            if region is None:
                self._over_wire += 1
                self._want(byte_size)
                return None
            return Lease(region, self._segments[region])

    def give_back(self, lease: Lease, *, answered: bool) -> None:
        """Take back a region that the server is surely done with.

        Parameters
        ----------
        lease : Lease
        answered : bool
            Whether by a result, which shows that the server and this client mean the same memory.
        """
        with self._changed:
            if answered:
                self._requests += 1
                self._strikes = 0
                self._streak += 1
                if self._streak >= _TRUSTED:
                    self._pauses = 0
                self._reason = "" if self._clock() >= self._grows_from_s else self._reason
            else:
                self._over_wire += 1
            if not self._closed and lease.region.epoch == self._epoch:
                self._pool.give_back(lease.region)
                return
        self.give_up(lease)

    def give_up(self, lease: Lease) -> None:
        """Take a region out of use that the server may still read from or write to."""
        with self._changed:
            self._pool.drop(lease.region)
        self._let_go((lease.region,))

    def refused(self, lease: Lease, why: str, *, forgotten: bool) -> None:
        """Note that a request did not succeed for the sake of its region.

        Parameters
        ----------
        lease : Lease
        why : str
        forgotten : bool
            Whether the server does not know the region any more. Then it has been started anew, most likely, and
            knows none of them.
        """
        with self._changed:
            if lease.region.epoch != self._epoch:
                return  # that is known
            self._strikes += 1
            self._streak = 0
            if self._strikes >= _STRIKES:
                self._strikes = 0
                self._rest(why)
            elif not forgotten:
                return
            self._epoch += 1
            given_up = self._pool.drop_free()
        self._let_go(given_up)

    def run(self, task: Callable[[], object]) -> bool:
        """Run in the background what must not run in a transport's thread; False once closed."""

        def run() -> None:
            try:
                task()
            finally:
                with self._changed:
                    self._tasks -= 1
                    self._changed.notify_all()

        with self._changed:
            taken = self._workers.run(run)
            self._tasks += taken
        return taken

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is being made, registered or given up; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._tasks == 0, timeout_s)

    def use(self) -> MemoryUse:
        """Return what became of the requests, and what there is."""
        with self._changed:
            return MemoryUse(self._requests, self._over_wire, self._pool.count, self._pool.byte_size, self._reason)

    def close(self) -> None:
        """Unregister every region and remove it. Those that are lent are used by their requests to the end."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: not self._growing, _MADE_S)
            self._pool.drop_free()
            segments, self._segments = dict(self._segments), {}
        self._workers.close()
        end_s = self._clock() + _CLOSE_TIMEOUT_S
        for region, segment in segments.items():
            segment.unlink()
            left_s = end_s - self._clock()
            try:
                if left_s > 0:
                    self._server.unregister(region.name, left_s)
            except InferenceError:  # it is gone, or will find out itself that their owner is
                end_s = float("-inf")

    def _want(self, byte_size: int) -> None:
        if self._growing or self._clock() < self._grows_from_s:
            return
        growth = self._pool.grow(byte_size)
        if growth is None:
            self._reason = f"no room for {byte_size} bytes more within the limit"
            return
        self._growing = True
        if not self.run(partial(self._grow, growth)):
            self._growing = False
            self._pool.give_up(growth)

    def _grow(self, growth: Growth) -> None:
        added = False
        try:
            added = self._add(growth)
        finally:
            with self._changed:
                self._growing = False
                if not added:
                    self._pool.give_up(growth)

    def _add(self, growth: Growth) -> bool:
        if self._near is None:
            near = self._asks_near()
            if not near:
                with self._changed:
                    self._near, self._reason, self._over_wire = near, "the server is not on this host", 0
                return False
            self._near = near
            for name in sweep(self._folder):  # what their owner, being dead, cannot do
                self._unregister(name)
        for region in growth.instead_of:
            self._forget(region)
        try:
            segment = self._make(growth.byte_size, self._folder)
        except OSError as error:
            self._short_of_memory(error)
            return False
        region = Region(segment.name, growth.byte_size)
        epoch = self._epoch
        try:
            self._server.register(segment.name, f"/{segment.name}", growth.byte_size, _CONTROL_TIMEOUT_S)
        except InferenceError as error:
            segment.unlink()
            with self._changed:
                if isinstance(error, Unavailable | DeadlineExceeded | Cancelled):
                    self._grows_from_s, self._reason = self._clock() + _UNREACHED_S, str(error)
                else:
                    self._rest(str(error))
            return False
        with self._changed:
            self._segments[region] = segment
            if not self._closed:
                region.epoch = epoch
                self._pool.add(region, growth)
                return True
        self._forget(region)
        return False

    def _short_of_memory(self, error: OSError) -> None:
        sweep(self._folder)  # which may help the next time
        reason = f"out of shared memory: {error.strerror or error}"
        with self._changed:
            self._grows_from_s = self._clock() + _PAUSE_S
            self._say(reason)

    def _rest(self, why: str) -> None:
        """Register nothing for a while, each time a longer one."""
        self._grows_from_s = self._clock() + min(_PAUSE_S * 2**self._pauses, _MOST_PAUSE_S)
        self._pauses += 1
        self._say(why)

    def _say(self, reason: str) -> None:
        self._reason = reason
        kind = reason.partition(":")[0]
        if kind not in self._logged:
            self._logged.add(kind)
            log.info("%s: tensors go over the wire, not through shared memory: %s", self._server.url, reason)

    def _let_go(self, regions: tuple[Region, ...]) -> None:
        for region in regions:
            segment = self._segments.get(region)
            if segment is not None:
                segment.unlink()
            if not self.run(partial(self._forget, region)):
                self._segments.pop(region, None)

    def _forget(self, region: Region) -> None:
        segment = self._segments.pop(region, None)
        if segment is not None:
            segment.unlink()
        self._unregister(region.name)
        with self._changed:
            self._pool.forgotten(region)

    def _unregister(self, name: str) -> None:
        try:
            self._server.unregister(name, _CONTROL_TIMEOUT_S)
        except InferenceError as error:  # it is gone, or will find out itself that the memory's owner is
            log.debug("%s: region %s was not unregistered: %s", self._server.url, name, error)
