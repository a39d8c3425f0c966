"""What a person names on the command line: a folder, a server, a network."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.client.transport import Transport
    from sonic.client.url import Address

_SCHEMES = ("local:", "grpc+unix:", "http+unix:")


def is_url(place: str) -> bool:
    """Whether it is the URL of a server, or of a model on one."""
    return "://" in place or place.startswith(_SCHEMES)


def folder_of(place: str) -> Path:
    """Return a folder; of the name of a network that ships, its model's.

    Raises
    ------
    ConfigError
        If there is neither.
    """
    from sonic.workloads import MODELS

    if Path(place).is_dir():
        return Path(place)
    if "/" not in place and (MODELS / place).is_dir():
        return MODELS / place
    if is_url(place):
        raise ConfigError(f"{place} is a server, of whose models the files are not to be had: name a folder")
    raise ConfigError(f"{place} is no folder, no URL of a server, and no network that ships with Sonic")


@contextmanager
def connected(address: Address) -> Iterator[Transport]:
    """Connect to a server, for as long as it takes."""
    from sonic.client.url import connect

    transport = connect(address)
    try:
        yield transport
    finally:
        transport.close()


def networks(incomplete: str) -> list[str]:
    """Complete the name of a network."""
    from sonic.workloads.zoo import NETWORKS

    return [network.name for network in NETWORKS if network.name.startswith(incomplete)]


def places(incomplete: str) -> list[str]:
    """Complete a folder, or the name of a network that ships."""
    from sonic.workloads.zoo import NETWORKS

    head, slash, _ = incomplete.rpartition("/")
    here = Path(head + slash or ".")
    found = sorted(here.iterdir()) if here.is_dir() else []
    folders = [f"{head}{slash}{path.name}/" for path in found if path.is_dir() and not path.name.startswith(".")]
    names = [network.name for network in NETWORKS if network.shipped]
    return [each for each in (*folders, *names) if each.startswith(incomplete)]
