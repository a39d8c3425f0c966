"""Which region of shared memory a request gets, and where in it each tensor lies. Pure: it maps and locks nothing.

A region holds one request at a time. It comes back only when its server is surely done with it; one of which that is
not known is dropped, and never used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIGNMENT = 64
"""Of each tensor in its region, in bytes: a cache line, and more than any datatype needs."""

_LEAST_BYTES = 1 << 16
_WASTE = 8
"""A request gets no region so many times larger than it needs, so that large ones are there for large requests."""
_ALIKE = 2
"""A free region that is too small by less than this factor is replaced by the larger one; others stay beside it."""


@dataclass(eq=False, slots=True)
class Region:
    """A region of shared memory that one server can be told of.

    Attributes
    ----------
    name : str
    byte_size : int
    epoch : int
        Of the server's registrations, as its owner counts them, that it belongs to.
    """

    name: str
    byte_size: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """What is to be made, and what is to be given up for it.

    Parameters
    ----------
    byte_size : int
        Of the new region.
    instead_of : tuple of Region
        They have left the pool, and are to be let go first.
    """

    byte_size: int
    instead_of: tuple[Region, ...]


class RegionPool:
    """The regions of one server. Not thread-safe: its owner holds a lock.

    Parameters
    ----------
    max_bytes : int
        What all of them may take up together, those included that the server may not have let go of yet.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._free: list[Region] = []
        self._lent: set[Region] = set()
        self._dropped: set[Region] = set()
        self._growing_bytes = 0

    @property
    def byte_size(self) -> int:
        """Bytes of all regions: free, lent, dropped and not forgotten, and being made."""
        regions = (*self._free, *self._lent, *self._dropped)
        return self._growing_bytes + sum(region.byte_size for region in regions)

    @property
    def count(self) -> int:
        """Number of regions that are free or lent."""
        return len(self._free) + len(self._lent)

    def take(self, byte_size: int) -> Region | None:
        """Lend the smallest free region that is large enough, and not far too large; None if there is none."""
        most = max(_WASTE * byte_size, _LEAST_BYTES)
        fitting = [region for region in self._free if byte_size <= region.byte_size <= most]
        if not fitting:
            return None
        region = min(fitting, key=lambda region: region.byte_size)
        self._free.remove(region)
        self._lent.add(region)
        return region

    def give_back(self, region: Region) -> None:
        """Take back a region that was lent, and that the server is surely done with."""
        self._lent.remove(region)
        self._free.append(region)

    def drop(self, region: Region) -> None:
        """Take a region out for good, lent or free. It counts as memory until it is :meth:`forgotten`."""
        if region in self._lent:
            self._lent.remove(region)
        else:
            self._free.remove(region)
        self._dropped.add(region)

    def forgotten(self, region: Region) -> None:
        """Note that the server does not have a dropped region any more, or is gone itself."""
        self._dropped.discard(region)

    def drop_free(self) -> tuple[Region, ...]:
        """Take out every region that is not lent."""
        regions = tuple(self._free)
        for region in regions:
            self.drop(region)
        return regions

    def grow(self, byte_size: int) -> Growth | None:
        """Plan a region for a request of so many bytes; None if that would be too much memory.

        It is to be followed by :meth:`add` or :meth:`give_up`.
        """
        size = rounded(byte_size)
        if size > self._max_bytes:
            return None
        smaller = sorted((r for r in self._free if r.byte_size < byte_size), key=lambda r: r.byte_size)
        given_up = smaller[-1:] if smaller and smaller[-1].byte_size * _ALIKE > byte_size else []
        excess = self.byte_size - sum(region.byte_size for region in given_up) + size - self._max_bytes
        for region in smaller:
            if excess > 0 and region not in given_up:
                given_up.append(region)
                excess -= region.byte_size
        if excess > 0:
            return None
        for region in given_up:
            self._free.remove(region)
        self._growing_bytes += size
        return Growth(size, tuple(given_up))

    def add(self, region: Region, growth: Growth) -> None:
        """Take in the region that was planned; it is free."""
        self._growing_bytes -= growth.byte_size
        self._free.append(region)

    def give_up(self, growth: Growth) -> None:
        """Note that a region that was planned could not be made."""
        self._growing_bytes -= growth.byte_size


def rounded(byte_size: int) -> int:
    """Round up to a size of region, at most a quarter larger: a request that is a little larger then fits as well."""
    size = max(byte_size, _LEAST_BYTES)
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step


def layout(sizes: Iterable[tuple[str, int]], start: int = 0) -> tuple[dict[str, tuple[int, int]], int]:
    """Place tensors one behind the other.

    Parameters
    ----------
    sizes : iterable of (str, int)
        Name and bytes of each.
    start : int
        Where the first may begin.

    Returns
    -------
    spans : dict of str to (int, int)
        Offset and bytes of each.
    end : int
        Bytes of all, from the region's beginning.
    """
    spans: dict[str, tuple[int, int]] = {}
    end = start
    for name, size in sizes:
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        spans[name] = offset, size
        end = offset + size
    return spans, end


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """How a client and one server share memory.

    Attributes
    ----------
    requests : int
        That had their tensors in shared memory.
    over_wire : int
        That could have had, and went over the wire: there was no region for them, or the server refused it.
    regions, byte_size : int
        That there are, and their bytes.
    reason : str
        Why there are none, or no more of them; empty if nothing stands in the way.
    """

    requests: int = 0
    over_wire: int = 0
    regions: int = 0
    byte_size: int = 0
    reason: str = ""
