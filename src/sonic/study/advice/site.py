"""What a site has, and what it pays: read from TOML."""

from __future__ import annotations

import tomllib
from math import inf
from typing import TYPE_CHECKING

import msgspec

from sonic.client.locality import on_loopback
from sonic.client.url import parse_server
from sonic.errors import ConfigError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sonic.study.records import Record


KIND = "server_kind"
"""The setting of a record that names the kind of server."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of server.

    Parameters
    ----------
    hour : float
        What an hour of it costs, in the currency of the site.
    network_gbps : float
        Of its network, in 10^9 bits/s.
    rows_per_s : dict of str to float
        What one is known to compute of a model, where no scan of it is given.
    """

    hour: float
    network_gbps: float = 10.0
    rows_per_s: dict[str, float] = {}


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site.

    Parameters
    ----------
    core_hour : float
        What an hour of one core costs.
    servers : dict of str to Kind
        By name; records say by their setting ``server_kind`` which one they were measured on.
    use : float
        Part of a server's capacity that is planned with, 0 to 1: queues grow without bounds near 1.
    spare : int
        Servers more than are needed, for those that fail.
    round_trip_ms : float
        Between jobs and servers.
    currency : str
    """

    core_hour: float = 0.04
    servers: dict[str, Kind] = {}
    use: float = 0.7
    spare: int = 1
    round_trip_ms: float = 1.0
    currency: str = "EUR"

    def __post_init__(self) -> None:
        if not 0 < self.use <= 1:
            raise ConfigError(f"use is above 0 and at most 1, given {self.use}")
        for name, value in (
            ("core_hour", self.core_hour),
            ("spare", self.spare),
            ("round_trip_ms", self.round_trip_ms),
        ):
            if not 0 <= value < inf:
                raise ConfigError(f"{name} is 0 or more, given {value}")
        for name, kind in self.servers.items():
            above_0 = (kind.network_gbps, *kind.rows_per_s.values())
            if not (0 <= kind.hour < inf and all(0 < value < inf for value in above_0)):
                raise ConfigError(f"server {name!r}: hour is 0 or more, network_gbps and rates above 0")


def read(path: Path) -> Site:
    """Read a site's file.

    Raises
    ------
    ConfigError
        If it cannot be read, or says what makes no sense.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Site)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path} describes no site: {one_line(error)}") from error


def of_machines(records: Iterable[Record], site: Site | None = None) -> Site:
    """Return a site whose servers are the machines that were measured, each as dear as the cores that it had.

    Raises
    ------
    ConfigError
        If one has a GPU, or is another than the record's machine: what that costs, a file has to say.
    """
    site = site or Site()
    kinds: dict[str, Kind] = {}
    for record in records:
        kind = kind_of(record)
        if record.machine.gpus or not _is_the_machine(record):
            raise ConfigError(f"what does an hour of {kind!r} cost? give a site's file with [servers.{kind!r}]")
        kinds[kind] = Kind(hour=_cores(record) * site.core_hour)
    return msgspec.structs.replace(site, servers=kinds)


def kind_of(record: Record) -> str:
    """Name the kind of server that a record is of: its setting ``server_kind``, or else the machine.

    Raises
    ------
    ConfigError
        If it was measured on another machine's server, or simulated, and does not say what that is.
    """
    if not (record.settings.get(KIND) or _is_the_machine(record)):
        what, where = f"measured on {record.settings.get('server')}", "the scan's [fixed], or by load --server-kind"
        if record.settings.get("simulated"):
            what, where = "simulated", "the simulation's spec, or by simulate --over server_kind=NAME"
        raise ConfigError(
            f"what is the server of {record.target} that was {what}? name it by {KIND} in {where}, "
            "and give its price in the site's file, [servers.NAME]"
        )
    cores = _cores(record)
    computes = f"{cores} core{'' if cores == 1 else 's'} of {record.machine.processor}"
    return str(record.settings.get(KIND) or ", ".join(record.machine.gpus) or computes)


def _is_the_machine(record: Record) -> bool:
    """Whether the server was on the machine that the record names, which is that of the load."""
    if record.settings.get("simulated"):
        return False
    if (url := record.settings.get("server")) is None:
        return True
    address = parse_server(str(url))
    return address.scheme == "local" or on_loopback(address.scheme, address.where)


def _cores(record: Record) -> int:
    """Return how many the server had: as the scan gave it, or all."""
    return int(record.settings.get("cores", record.machine.cores))
