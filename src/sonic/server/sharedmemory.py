"""System shared memory that clients register by name, and that requests then refer to.

A region stays mapped until it is unregistered and no request refers to its bytes any more: a view of them holds it.
That its client dies, or removes it from the system, does not take it from the server, which cannot know; except for
memory whose owner can be told to be gone (see :mod:`sonic.protocol.ownership`): that is unregistered within seconds.

What is not defended against: a client that shortens its memory while the server reads from it, which the system
answers by ending the server; and one that registers memory that is not its own, but that the server's user may open.
Only peers that may use shared memory can do that; see :class:`SharedMemory`.
Specification: the system shared memory extension of the Open Inference Protocol. What is wrong is said in words by
which clients written for Triton know it.
"""

from __future__ import annotations

import mmap
import os
import threading

# As multiprocessing.shared_memory does, which would also remove the memory in the end.
from _posixshmem import shm_open  # type: ignore[import-not-found]
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from weakref import ref

from sonic.errors import InvalidRequest, RegionNotFound, RegionTaken, Unsupported, shown
from sonic.protocol.ownership import FOLDER, PREFIX, remove_abandoned

if TYPE_CHECKING:
    from sonic.protocol.form import Span

NO_CUDA = "CUDA shared memory is not offered: register system shared memory"
MAX_NAME = 255
MAX_REGIONS = 4096
"""Registered at the same time. The system allows a process some 65,000 mappings, and the server needs its own."""
LOOK_S = 10.0
"""How often it is looked whether the owners of regions are gone."""


@dataclass(frozen=True, slots=True)
class RegionStatus:
    """A registered region.

    Parameters
    ----------
    name : str
        What requests call it.
    key : str
        What the system calls it, as for ``shm_open``.
    offset, byte_size : int
        The bytes of it that were registered.
    """

    name: str
    key: str
    offset: int
    byte_size: int


class SharedMemory:
    """The regions of all clients. Thread-safe.

    Parameters
    ----------
    allow : bool or None
        Who may use them: True everyone, False nobody, None peers on this host. Everyone is for peers that share the
        host's memory but reach the server through a network of their own, as containers do. A proxy on this host
        makes all of its clients peers on this host.
    """

    def __init__(self, allow: bool | None = None) -> None:
        self._allow = allow
        self._lock = threading.Lock()
        self._regions: dict[str, tuple[RegionStatus, memoryview]] = {}
        self._watching = False

    @property
    def offered(self) -> bool:
        """Whether anybody may use it."""
        return self._allow is not False

    def check_peer(self, peer: str) -> None:
        """Let pass a peer that may use shared memory.

        Parameters
        ----------
        peer : str
            Its address, without a port; empty for one on a Unix domain socket.

        Raises
        ------
        Unsupported
        """
        if self._allow is False:
            raise Unsupported("shared memory is off: the server was started with --no-allow-client-shm")
        if self._allow is None and not is_local(peer):
            raise Unsupported(
                f"shared memory is for clients on the server's host, given a client at {peer}: "
                "--allow-client-shm offers it to all"
            )

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Map memory of the system under a name.

        Parameters
        ----------
        name : str
            For requests to refer to it.
        key : str
            As for ``shm_open``, with or without the slash at its beginning.
        offset, byte_size : int
            The bytes of it to register.

        Raises
        ------
        InvalidRequest
            If the name is empty or too long, there is no such memory, it does not have these bytes, or there are
            :data:`MAX_REGIONS` already.
        RegionTaken
        """
        if not name:
            raise InvalidRequest("a shared memory region has a name, given ''")
        if len(name) > MAX_NAME:
            raise InvalidRequest(f"the name of a shared memory region has at most {MAX_NAME} characters")
        status = RegionStatus(name, key, offset, byte_size)
        with self._lock:
            self._check_free(name)
        memory = _map(status)
        with self._lock:
            self._check_free(name)
            self._regions[name] = status, memory
            if _is_owned(status) and not self._watching:
                self._watching = True
                _look_later(ref(self))

    def unregister(self, name: str = "") -> None:
        """Forget a region, or all of them. One that is not registered is no error, as with Triton."""
        with self._lock:
            if name:
                self._regions.pop(name, None)
            else:
                self._regions.clear()

    def forget_abandoned(self) -> tuple[str, ...]:
        """Unregister regions whose owner is gone, and remove what it left in the system; return their names."""
        with self._lock:
            owned = [status for status, _ in self._regions.values() if _is_owned(status)]
        gone = tuple(status.name for status in owned if remove_abandoned(FOLDER / status.key.removeprefix("/")))
        with self._lock:
            for name in gone:
                self._regions.pop(name, None)
        return gone

    def _look_after(self) -> bool:
        """Forget what is abandoned; return whether there are regions left to look after."""
        self.forget_abandoned()
        with self._lock:
            self._watching = any(_is_owned(status) for status, _ in self._regions.values())
            return self._watching

    def status(self, name: str = "") -> tuple[RegionStatus, ...]:
        """Return one registered region, or all of them.

        Raises
        ------
        RegionNotFound
        """
        with self._lock:
            if name:
                return (self._find(name, "system shared memory region")[0],)
            return tuple(status for status, _ in self._regions.values())

    def view(self, span: Span) -> memoryview:
        """Return bytes of a region, writable; they stay mapped for as long as anything refers to the view.

        Raises
        ------
        RegionNotFound
        InvalidRequest
            If they are not all within the region.
        """
        with self._lock:
            status, memory = self._find(span.region, "shared memory region")
        if span.offset + span.byte_size > status.byte_size:
            what = "offset" if span.offset >= status.byte_size else "offset + byte size"
            raise InvalidRequest(
                f"Invalid {what} for shared memory region: {span.region!r} has {status.byte_size} bytes, "
                f"given bytes {span.offset} to {span.offset + span.byte_size}"
            )
        return memory[span.offset : span.offset + span.byte_size]

    def _find(self, name: str, what: str) -> tuple[RegionStatus, memoryview]:
        try:
            return self._regions[name]
        except KeyError:
            raise RegionNotFound(f"Unable to find {what}: {name!r} is not registered") from None

    def _check_free(self, name: str) -> None:
        if len(self._regions) >= MAX_REGIONS:
            raise InvalidRequest(f"{MAX_REGIONS} shared memory regions are registered already: unregister one first")
        if name in self._regions:
            raise RegionTaken(f"shared memory region {name!r} already in manager: unregister it first")


class PeerRegions:
    """The regions as one peer may use them; whether it may is looked into when it does.

    Parameters
    ----------
    memory : SharedMemory
    peer : str
        Its address, as for :meth:`SharedMemory.check_peer`.
    """

    __slots__ = ("_memory", "_peer")

    def __init__(self, memory: SharedMemory, peer: str) -> None:
        self._memory = memory
        self._peer = peer

    def view(self, span: Span) -> memoryview:
        """Return bytes of a region; see :meth:`SharedMemory.view`."""
        self._memory.check_peer(self._peer)
        return self._memory.view(span)


def _look_later(memory: ref[SharedMemory]) -> None:
    """Look after the owners of regions every few seconds, for as long as there are any, and a server."""
    timer = threading.Timer(LOOK_S, _look, (memory,))
    timer.daemon = True
    timer.start()


def _look(memory: ref[SharedMemory]) -> None:
    server = memory()
    if server is not None and server._look_after():
        _look_later(memory)


def _is_owned(status: RegionStatus) -> bool:
    return status.key.removeprefix("/").startswith(PREFIX)


@lru_cache(maxsize=1024)  # a peer is asked about with every tensor
def is_local(peer: str) -> bool:
    """Whether an address, empty for that of a Unix domain socket, is of this host."""
    if not peer:
        return True
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _map(status: RegionStatus) -> memoryview:
    what = f"failed to register shared memory region {status.name!r}"
    inner = status.key.removeprefix("/")
    if not inner or not _fits(inner) or inner in (".", "..") or "/" in inner or "\0" in inner:
        raise InvalidRequest(
            f"{what}: Unable to open shared memory region: {shown(status.key)} is not the name of shared memory, such "
            "as '/input_data'"
        )
    if status.byte_size <= 0 or status.offset < 0:
        raise InvalidRequest(f"{what}: invalid args: given offset {status.offset} and byte size {status.byte_size}")
    try:
        descriptor = shm_open(f"/{inner}", os.O_RDWR, mode=0o600)
    except OSError as error:
        raise InvalidRequest(f"{what}: Unable to open shared memory region: {status.key!r}: {error.strerror}") from None
    try:
        there = os.fstat(descriptor).st_size
        if status.offset + status.byte_size > there:
            raise InvalidRequest(
                f"{what}: invalid args: key {status.key!r} has {there} bytes, "
                f"given bytes {status.offset} to {status.offset + status.byte_size}"
            )
        skip = status.offset % mmap.ALLOCATIONGRANULARITY  # a mapping begins at a page
        mapped = mmap.mmap(descriptor, skip + status.byte_size, offset=status.offset - skip)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{what}: key {status.key!r} cannot be mapped: {error}") from None
    finally:
        os.close(descriptor)
    return memoryview(mapped)[skip:]


def _fits(name: str) -> bool:
    try:
        return len(os.fsencode(name)) <= MAX_NAME
    except UnicodeEncodeError:  # half a character
        return False
