"""The models that a process calls: a worker that unpickles a processor for each chunk connects once all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sonic.client.model import Client

if TYPE_CHECKING:
    from sonic.client.model import Model
    from sonic.client.settings import ClientSettings


class Connection(NamedTuple):
    """What a connection is made from; equal ones are one.

    Parameters
    ----------
    servers : tuple of str
        URLs.
    fallback : str or None
    timeout_s : float or None
    settings : ClientSettings
    """

    servers: tuple[str, ...]
    fallback: str | None
    timeout_s: float | None
    settings: ClientSettings


_clients: dict[Connection, Client] = {}
_models: dict[tuple[Connection, str, str], Model] = {}


def model_of(connection: Connection, name: str, version: str) -> Model:
    """Return the process's one model of that name and version on these servers; the first time, it is made.

    A process that was forked shares the models, which connect anew by themselves.
    """
    # Without a lock, which a process could inherit locked: of two models that threads make at once, one stays.
    model = _models.get((connection, name, version))
    if model is None:
        client = _clients.get(connection)
        if client is None:
            servers, fallback, timeout_s, settings = connection
            made = Client(servers, fallback=fallback, timeout_s=timeout_s, settings=settings)
            client = _clients.setdefault(connection, made)
            if client is not made:
                made.close()
        model = _models.setdefault((connection, name, version), client.model(name, version))
    return model


def disconnect() -> None:
    """Close what this process has opened; what is in flight ends in Cancelled. The next call connects again."""
    clients = list(_clients.values())
    _clients.clear()
    _models.clear()
    for client in clients:
        client.close()
