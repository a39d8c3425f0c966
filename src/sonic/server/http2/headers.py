"""Header blocks: read with hpack, and written without a table that would have to be kept in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from sonic.server.http2.frames import ConnectionFault, Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Headers = tuple[tuple[str, str], ...]
Meaning = TypeVar("Meaning")

_MAX_KEPT = 128
_MAX_KEPT_BYTES = 2048
"""Blocks of which it is remembered what they say: how many a connection, and how long each may be."""


class HeaderReader(Generic[Meaning]):
    """Reads the header blocks of one connection, in their order.

    A client sends the same bytes again for the same headers as long as nothing else was put into the table that both
    sides keep. So what a block means is remembered until the table changes.

    Parameters
    ----------
    max_bytes : int
        Largest list of headers, as RFC 9113 counts them.
    meaning : callable
        What a list of headers means to who asks.
    """

    def __init__(self, max_bytes: int, meaning: Callable[[Headers], Meaning]) -> None:
        self._decoder = Decoder(max_header_list_size=max_bytes)
        # Of any type: an entry is known by its identity, and compiled code may copy what it knows to be a tuple.
        self._table: Any = self._decoder.header_table
        self._meaning = meaning
        self._known: dict[bytes, Meaning] = {}
        self._newest: object = None  # entry of the table, held so that no other can take its identity
        self._size = (0, self._table.maxsize)

    def read(self, block: bytes) -> Meaning:
        """Return what a block means.

        Raises
        ------
        ConnectionFault
            If it cannot be read: then no later one can either.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            pairs = self._decoder.decode(block, raw=True)
        except HPACKError as error:  # whose text may hold addresses in memory
            text = f"headers that cannot be read: {type(error).__name__}"
            raise ConnectionFault(Error.COMPRESSION_ERROR, text) from None
        meaning = self._meaning(tuple((_text(name), _text(value)) for name, value in pairs))
        entries = self._table.dynamic_entries
        newest, size = entries[0] if entries else None, (len(entries), self._table.maxsize)
        if newest is not self._newest or size != self._size:  # the same bytes may mean something else now
            self._newest, self._size = newest, size
            self._known.clear()
        elif len(block) <= _MAX_KEPT_BYTES and len(self._known) < _MAX_KEPT:
            self._known[block] = meaning
        return meaning


def write(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header block that leaves the reader's table as it is, so that it can be sent on any connection at any time."""
    block: bytes = Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
    return block


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
