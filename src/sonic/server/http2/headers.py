"""Header blocks: read with hpack, and written without a table that would have to be kept in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from sonic.server.http2.frames import ConnectionFault, Error, StreamFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Headers = tuple[tuple[str, str], ...]
Meaning = TypeVar("Meaning")

_MAX_KEPT = 128
_MAX_KEPT_BYTES = 2048
"""Blocks of which it is remembered what they say: how many a connection, and how long each may be."""
_TIMES_READ = 4
"""So many times the largest list are still read: what is too large is to end its own stream, and no other."""
_ENTRY_BYTES = 32
"""What RFC 9113 counts for each header beside its text."""

_PSEUDO = ([":method", ":path", ":scheme"], [":authority", ":method", ":path", ":scheme"])
"""What a request begins with, in whatever order."""
_OF_A_CONNECTION = frozenset(("connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"))
"""Headers that HTTP/2 does not know."""


class HeaderReader(Generic[Meaning]):
    """Reads the header blocks of one connection, in their order.

    A client sends the same bytes again for the same headers as long as nothing else was put into the table that both
    sides keep. So what a block means is remembered until the table changes.

    Parameters
    ----------
    max_bytes : int
        Largest list of headers that is asked for, as :func:`list_bytes` counts; up to four times as much is read.
    meaning : callable
        What a list of headers means to who asks.

    Attributes
    ----------
    max_bytes : int
        Of a list that is read.
    """

    def __init__(self, max_bytes: int, meaning: Callable[[Headers], Meaning]) -> None:
        self.max_bytes = _TIMES_READ * max_bytes
        self._decoder = Decoder(max_header_list_size=self.max_bytes)
        # Of any type: an entry is known by its identity, and compiled code may copy what it knows to be a tuple.
        self._table: Any = self._decoder.header_table
        self._meaning = meaning
        self._known: dict[bytes, Meaning] = {}
        self._newest: object = None  # entry of the table, held so that no other can take its identity
        self._size = (0, self._table.maxsize)

    def read(self, block: bytes, stream: int, *, trailers: bool = False) -> Meaning:
        """Return what the block that came on a stream means; `trailers`: whether it is what a request ends with.

        Raises
        ------
        ConnectionFault
            If it cannot be read: then no later one can either.
        StreamFault
            If it is not what HTTP/2 makes of a request.
        """
        known = None if trailers else self._known.get(block)
        if known is not None:
            return known
        try:
            pairs = self._decoder.decode(block, raw=True)
        except HPACKError as error:  # whose text may hold addresses in memory
            text = f"headers that cannot be read: {type(error).__name__}"
            raise ConnectionFault(Error.COMPRESSION_ERROR, text) from None
        entries = self._table.dynamic_entries
        newest, size = entries[0] if entries else None, (len(entries), self._table.maxsize)
        kept = len(block) <= _MAX_KEPT_BYTES and len(self._known) < _MAX_KEPT
        if newest is not self._newest or size != self._size:  # the same bytes may mean something else now
            self._newest, self._size = newest, size
            self._known.clear()
            kept = False
        headers = tuple((_text(name), _text(value)) for name, value in pairs)
        if not _well_formed(headers, trailers=trailers):
            raise StreamFault(Error.PROTOCOL_ERROR, stream)
        meaning = self._meaning(headers)
        if kept and not trailers:
            self._known[block] = meaning
        return meaning


def write(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header block that leaves the reader's table as it is, so that it can be sent on any connection at any time."""
    block: bytes = Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
    return block


def list_bytes(headers: Headers) -> int:
    """Size of a list of headers, as RFC 9113 counts it (section 6.5.2)."""
    return sum(len(name) + len(value) + _ENTRY_BYTES for name, value in headers)


def _well_formed(headers: Headers, *, trailers: bool) -> bool:
    """Whether they can be those of a request, or what it ends with (RFC 9113, sections 8.2 and 8.3)."""
    names = [name for name, _ in headers]
    pseudo = [name for name in names if name.startswith(":")]
    return (
        (not pseudo if trailers else sorted(pseudo) in _PSEUDO)
        and pseudo == names[: len(pseudo)]
        and all(name and name == name.lower() and name not in _OF_A_CONNECTION for name in names)
        and all(value == "trailers" for name, value in headers if name == "te")
    )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
