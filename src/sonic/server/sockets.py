"""Ports, claimed before anything slow is done."""

from __future__ import annotations

import errno
import socket

from sonic.errors import ConfigError


def listen(host: str, port: int, option: str) -> socket.socket:
    """Claim a TCP port. Clients can connect from now on; they wait until somebody accepts.

    Parameters
    ----------
    host : str
        Name or address to listen on.
    port : int
        0: any free one.
    option : str
        What the user can set to choose another, for the message.

    Raises
    ------
    ConfigError
        If the port is taken, or the host is none of this machine.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"{option} must be between 0 and 65535, given {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(f"cannot listen on host {host!r}: {error.strerror}") from error
    claimed = socket.socket(family, kind, protocol)
    try:
        claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claimed.bind(address)
        claimed.listen(2048)
    except OSError as error:
        claimed.close()
        raise _explain(host, port, option, error) from error
    return claimed


def authority(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(host: str, port: int, option: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} is taken on {host}: choose another with {option}, or 0 for any free one")
    return ConfigError(f"cannot listen on {authority(host, port)} ({option}): {error.strerror}")
