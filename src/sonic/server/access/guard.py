"""Who is let in, and how often: asked by both fronts before they look at a request."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from sonic.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.access.ratelimit import RateLimit
    from sonic.server.access.tokens import Tokens

PUBLIC_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready"})
"""Of HTTP, what everyone may ask for: probes, and the status page, which holds nothing until it is given a token."""
QUESTION_BYTES = 1 << 16
"""Of a message of whoever is not known, decompressed: what everyone may ask for takes little to ask."""


class Guard:
    """Knows clients by their tokens or addresses, and counts their requests. Thread-safe.

    Parameters
    ----------
    tokens : Tokens or None
        None: nobody needs a token.
    limit : RateLimit or None
        None: as often as they like. A client is the owner of a token, or else an address; of IPv6 a network of 64 bits,
        of which a host may take any address.
    clock : callable
        Returns seconds that never go back.
    """

    def __init__(
        self,
        tokens: Tokens | None = None,
        limit: RateLimit | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()

    def identify(self, peer: str, authorization: str | None) -> str:
        """Return which client it is.

        Parameters
        ----------
        peer : str
            Its address, without a port; empty for one on a Unix domain socket.
        authorization : str or None
            The header of that name.

        Raises
        ------
        Unauthenticated
        """
        if self._tokens is None:
            return _place(peer) if ":" in peer else peer
        return f"token of {self._tokens.owner(authorization)}"

    def admit(self, peer: str, authorization: str | None) -> None:
        """Let in one request of a client, as for :meth:`identify`, and count it.

        Raises
        ------
        Unauthenticated
        RateLimited
            If it has had its share.
        """
        client = self.identify(peer, authorization)
        if self._limit is None:
            return
        with self._lock:
            wait_s = self._limit.take(client, self._clock())
        if wait_s:
            raise RateLimited(
                f"more than {self._limit.per_s:g} requests a second: the next is taken in {wait_s:.3g} s", wait_s
            )


@lru_cache(4096)
def _place(peer: str) -> str:
    """Return the network that an IPv6 address is of, or the IPv4 address that stands in it."""
    address = IPv6Address(peer)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed[:8] + bytes(8), 64)))
