"""Whether a server is on this host, as far as its address says."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def on_this_host(scheme: str, where: str) -> bool:
    """Whether an address is one of this host's own. Blocks while a name is looked up.

    Parameters
    ----------
    scheme : str
        Of a URL of a server.
    where : str
        ``host:port``, or the path of a Unix domain socket.

    Notes
    -----
    What listens there may still be a tunnel or a proxy to another host.
    """
    if scheme.endswith("+unix"):
        return True
    host = where.rpartition(":")[0].strip("[]")
    with suppress(OSError, UnicodeError):  # a name that nobody knows
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return bool(found) and all(_is_own(family, str(address[0])) for family, _, _, _, address in found)
    return False


def on_loopback(scheme: str, where: str) -> bool:
    """Whether an address names the host that it is read on, whichever that is. Nothing is looked up."""
    return scheme.endswith("+unix") or where.rpartition(":")[0] in _LOOPBACK


def _is_own(family: int, address: str) -> bool:
    if ip_address(address.partition("%")[0]).is_loopback:
        return True
    # Only addresses of the host itself can be bound to; nothing is sent.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
