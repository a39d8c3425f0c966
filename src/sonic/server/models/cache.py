"""Results of requests, kept for requests that are the same: bounded in bytes, the least recently used goes first."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from sonic.server.execution.instances import Reply
from sonic.server.scheduling.budget import array_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sonic.protocol.messages import Parameter

    Arrays = Mapping[str, np.ndarray]

DEFAULT_CACHE_BYTES = 64 << 20
"""Room for the results of all models that have ``response_cache { enable: true }``."""

_ENTRY_BYTES = 512  # what Python needs for a key, an entry and the head of an array
_PASSED_OVER = frozenset({"priority"})  # parameters that no result depends on

Key = tuple[object, bytes]


class ResponseCache:
    """Replies by what they were made of. Thread-safe.

    Parameters
    ----------
    max_bytes : int
        What they may take up together; 0: nothing is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._owners: set[object] = set()
        self._entries: OrderedDict[Key, tuple[Reply, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def enabled(self) -> bool:
        """Whether anything is ever kept."""
        return self._max_bytes > 0

    @property
    def bytes(self) -> int:
        """What is kept takes up so much."""
        return self._bytes

    def __len__(self) -> int:
        """Return the number of results that are kept."""
        return len(self._entries)

    def admit(self, owner: object) -> None:
        """Keep results whose key has this owner, until it is dropped."""
        with self._lock:
            self._owners.add(owner)

    def get(self, key: Key) -> Reply | None:
        """Return the reply kept under a key, its outputs read-only; None if there is none."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            reply = entry[0]
        return reply._replace(outputs=dict(reply.outputs))  # whoever gets it may take some out

    def put(self, key: Key, reply: Reply) -> None:
        """Keep a copy of a reply, unless it is larger than the whole cache or its owner is not there any more."""
        size = sum(_ENTRY_BYTES + array_bytes(array) for array in reply.outputs.values())
        size += sum(_ENTRY_BYTES + len(str(value)) for value in reply.parameters.values())
        if size > self._max_bytes:
            return
        copies = {name: array.copy() for name, array in reply.outputs.items()}
        for array in copies.values():
            array.flags.writeable = False
        with self._lock:
            if key[0] not in self._owners:
                return
            if (old := self._entries.pop(key, None)) is not None:
                self._bytes -= old[1]
            self._entries[key] = Reply(copies, reply.parameters), size
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, (_, gone) = self._entries.popitem(last=False)
                self._bytes -= gone

    def drop(self, owner: object) -> None:
        """Forget every result whose key has this owner, and keep no more of them."""
        with self._lock:
            self._owners.discard(owner)
            for key in [key for key in self._entries if key[0] is owner]:
                self._bytes -= self._entries.pop(key)[1]


def key_of(
    owner: object,
    inputs: Arrays,
    wanted: Iterable[str],
    parameters: Mapping[str, Parameter],
    classes: Mapping[str, int] | None = None,
) -> Key:
    """Return what identifies a result.

    Parameters
    ----------
    owner : object
        The loaded model version; compared by identity, so that a model that is loaded again starts anew.
    inputs : mapping of str to ndarray
    wanted : iterable of str
        Names of outputs.
    parameters : mapping of str to bool, int, float or str
        Of the request; a model may look at them.
    classes : mapping of str to int, optional
        How many classes are wanted in place of which outputs.
    """
    digest = hashlib.blake2b(digest_size=32)
    head = [(name, array.dtype.str, array.shape) for name, array in inputs.items()]
    counted = sorted((name, value) for name, value in parameters.items() if name not in _PASSED_OVER)
    digest.update(repr((head, tuple(wanted), counted, sorted((classes or {}).items()))).encode())
    for array in inputs.values():
        if array.dtype.hasobject:
            for element in array.reshape(-1):
                data = element if isinstance(element, bytes) else str(element).encode()
                digest.update(len(data).to_bytes(8, "little"))
                digest.update(data)
        else:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return owner, digest.digest()
