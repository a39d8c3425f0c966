"""Ports, claimed before anything slow is done, and who connects to them."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from sonic.errors import ConfigError

BACKLOG = 2048
"""Connections that the system keeps for a socket until they are accepted."""

_MAX_PATH = 103
"""Longest path of a socket, in bytes, on every system."""


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
        claimed.listen(BACKLOG)
    except OSError as error:
        claimed.close()
        raise _explain(host, port, option, error) from error
    return claimed


def check_unix(path: str | os.PathLike[str], option: str) -> str:
    """Make the path of a Unix domain socket free.

    A socket that nobody listens on any more, as a killed server leaves it, is removed.

    Parameters
    ----------
    path : path
        Ends in ``.sock``, by which a client's URL shows where it ends.
    option : str
        What the user can set to choose another, for the message.

    Returns
    -------
    str
        The path, absolute.

    Raises
    ------
    ConfigError
        If somebody listens there, or it is something else.
    """
    where = Path(path).absolute()
    if where.suffix != ".sock":
        raise ConfigError(f"{option} ends in .sock, given {path}")
    if len(os.fsencode(where)) > _MAX_PATH:
        raise ConfigError(f"{option} has at most {_MAX_PATH} bytes, which is the system's limit, given {where}")
    try:
        if not stat.S_ISSOCK(where.stat().st_mode):
            raise ConfigError(f"{option} {path} is there and is no socket")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(where))
        raise ConfigError(f"{option} {path} is in use by another server")
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        where.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot listen on {option} {path}: {error.strerror or error}") from error
    if not where.parent.is_dir():
        raise ConfigError(f"cannot listen on {option} {path}: there is no folder {where.parent}")
    return str(where)


def listen_unix(path: str | os.PathLike[str], option: str) -> socket.socket:
    """Claim a Unix domain socket, for processes that may write to its folder; see :func:`check_unix`.

    Raises
    ------
    ConfigError
    """
    where = check_unix(path, option)
    claimed = socket.socket(socket.AF_UNIX)
    try:
        claimed.bind(where)
        claimed.listen(BACKLOG)
    except OSError as error:
        claimed.close()
        raise ConfigError(f"cannot listen on {option} {path}: {error.strerror or error}") from error
    return claimed


def authority(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def peer_of(name: Any) -> str:
    """Return the address of a client, without its port; empty for one on a Unix domain socket.

    Parameters
    ----------
    name : object
        What a transport of the event loop says of its ``peername``.
    """
    if name is None:  # it has gone already: that is no reason to take it for one of this host
        return "unknown"
    return str(name[0]) if isinstance(name, tuple) else ""


def _explain(host: str, port: int, option: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} is taken on {host}: choose another with {option}, or 0 for any free one")
    return ConfigError(f"cannot listen on {authority(host, port)} ({option}): {error.strerror}")
