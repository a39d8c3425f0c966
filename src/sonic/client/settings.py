"""How a client treats its servers: retries, patience, timing. Apart from the physics, which it cannot change."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from sonic.client.deadline import LONGEST_S
from sonic.client.fallback.description import Fallback  # noqa: TC001 - read from the hints when settings are
from sonic.errors import ConfigError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "SONIC_CLIENT_"
"""What the environment variables of settings begin with: ``SONIC_CLIENT_BACKOFF_S``."""

CONFIG = f"{PREFIX}CONFIG"
"""The environment variable that names a file of settings."""

BALANCER_HOST, BALANCER_PORT = "SONIC_LOCAL_BALANCER_HOST", "SONIC_LOCAL_BALANCER_PORT"
"""The environment variables by which a site announces its balancer, as in CMSSW; it comes first of the servers."""

Action = Literal["different", "same", "again", "fallback"]
Sharing = Literal["auto", "never", "always"]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client does when a server does not answer as it should.

    Parameters
    ----------
    chain : tuple of str
        What to do after a failure that can pass, in this order: ``different``, each server not yet tried, at once;
        ``same``, the server that failed, after a pause; ``again``, the best server whether tried or not, after a
        pause; ``fallback``. What is not possible is passed over.
    tries : int or None
        Most attempts of one request, the first included; None: as many as the chain has.
    backoff_s, backoff_factor, max_backoff_s : float
        The first pause, what each further one is multiplied with, and the longest, in seconds. A server that asks for a
        longer one is not waited for.
    jitter : float
        Part of a pause that is drawn at random, 0 to 1: 0.5 is a pause between half and the whole.
    attempt_timeout_s : float or None
        Time for one attempt, in seconds; the request then goes on along the chain. None: no limit of its own.
    silence_s : float
        After so long without a sign of life a server is asked for one; after as long again it is given up and the
        request goes on along the chain. Shorter where the deadline is near: a quarter of the time left.
    rest_s : float
        For how long a server that failed comes after the others.
    breaker_failures : int
        So many failures in a row open a server's circuit: for `rest_s` seconds it gets nothing, if there is anywhere
        else to go. Then one request at a time tries; when one succeeds the circuit closes.
    breaker_max_rest_s : float
        The rest doubles whenever that fails, up to so many seconds.
    hedge_quantile : float or None
        Ask a second server for what took longer than this quantile of the model's recent latencies, e.g. 0.95; the
        first answer counts, and the other request is given up. None: never.
    hedge_budget : float
        Most of these second requests, as a part of all.
    servers : tuple of str
        URLs of servers, for a client that is given none.
    preferred : tuple of str
        URLs of servers that come before the others, as long as they can take requests.
    strict_preferred : bool
        Whether the others get nothing at all.
    shared_memory : str
        Whether tensors travel through shared memory to a server on the same host: ``auto``, where that is quicker;
        ``never``; ``always``, however small they are and whatever the server's address: for a server in a container
        that shares the host's memory but has a network of its own. Where the server cannot, they go over the wire.
    shared_memory_min_bytes : int
        Least size of a request and its answer together, in bytes, from which on that is quicker.
    shared_memory_max_bytes : int
        Most memory that is shared with one server, in bytes.
    record : str or None
        A file to which every request is added, for ``sonic study replay``; see :mod:`sonic.protocol.recording`.
    record_max_bytes : int
        Nothing is added to it beyond so many.
    fallback : Fallback or str or None
        For a client that is given none: a folder of models, or all that :class:`~sonic.client.fallback.Fallback` takes;
        in a file a table ``[sonic.fallback]``.

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """

    chain: tuple[Action, ...] = ("different", "again", "again", "fallback", *("again",) * 4)
    tries: int | None = None
    backoff_s: float = 0.1
    backoff_factor: float = 2.0
    max_backoff_s: float = 5.0
    jitter: float = 0.5
    attempt_timeout_s: float | None = None
    silence_s: float = 5.0
    rest_s: float = 5.0
    breaker_failures: int = 5
    breaker_max_rest_s: float = 60.0
    hedge_quantile: float | None = None
    hedge_budget: float = 0.1
    servers: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    strict_preferred: bool = False
    shared_memory: Sharing = "auto"
    shared_memory_min_bytes: int = 750_000
    shared_memory_max_bytes: int = 1 << 28
    record: str | None = None
    record_max_bytes: int = 1 << 30
    fallback: Fallback | str | None = None

    def __post_init__(self) -> None:
        for name in ("chain", "servers", "preferred"):
            given = getattr(self, name)
            _check(name, not isinstance(given, str), "a sequence of texts", repr(given))
            object.__setattr__(self, name, tuple(given))  # with a list, it could not be told which clients are alike
        for action in self.chain:
            _check("chain", action in get_args(Action), f"made of {', '.join(get_args(Action))}", action)
        _check("tries", self.tries is None or self.tries >= 1, "at least 1, or None", self.tries)
        _check("backoff_s", self.backoff_s >= 0, "at least 0", self.backoff_s)
        _check("backoff_factor", self.backoff_factor >= 1, "at least 1", self.backoff_factor)
        _check("max_backoff_s", self.max_backoff_s >= 0, "at least 0", self.max_backoff_s)
        _check("jitter", 0 <= self.jitter <= 1, "0 to 1", self.jitter)
        attempt_s = self.attempt_timeout_s
        bounds = f"above 0, below {LONGEST_S:g}"
        _check("attempt_timeout_s", attempt_s is None or 0 < attempt_s < LONGEST_S, f"{bounds}, or None", attempt_s)
        _check("silence_s", 0 < self.silence_s < LONGEST_S, bounds, self.silence_s)
        _check("rest_s", self.rest_s >= 0, "at least 0", self.rest_s)
        _check("breaker_failures", self.breaker_failures >= 1, "at least 1", self.breaker_failures)
        _check("breaker_max_rest_s", self.breaker_max_rest_s >= 0, "at least 0", self.breaker_max_rest_s)
        quantile = self.hedge_quantile
        _check("hedge_quantile", quantile is None or 0 < quantile <= 1, "above 0 up to 1, or None", quantile)
        sharing = get_args(Sharing)
        _check("shared_memory", self.shared_memory in sharing, f"one of {', '.join(sharing)}", self.shared_memory)
        least, most = self.shared_memory_min_bytes, self.shared_memory_max_bytes
        _check("shared_memory_min_bytes", least >= 1, "at least 1", least)
        _check("shared_memory_max_bytes", most >= 1, "at least 1", most)
        _check("record_max_bytes", self.record_max_bytes >= 1, "at least 1", self.record_max_bytes)
        _check("hedge_budget", 0 <= self.hedge_budget <= 1, "0 to 1", self.hedge_budget)


def load(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None) -> ClientSettings:
    """Read settings: the environment before the file, the file before what is built in.

    ``SONIC_LOCAL_BALANCER_HOST`` and ``SONIC_LOCAL_BALANCER_PORT`` (8001 if not set) name one more server, over gRPC.

    Parameters
    ----------
    path : path-like, optional
        A TOML file with a table ``[sonic]``; else the one that ``SONIC_CLIENT_CONFIG`` names, if it does.
    environment : mapping of str to str, optional
        Instead of :data:`os.environ`. ``SONIC_CLIENT_`` and the name of a setting; lists with commas; ``none``.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or makes no sense.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    path = path or environment.get(CONFIG)
    if path:
        values |= _from_file(Path(path))
    for key, text in environment.items():
        if key.startswith(PREFIX) and key != CONFIG:
            name = key.removeprefix(PREFIX).lower()
            _known(name, key)
            values[name] = _convert(name, _plain(name, text), key)
    host, port = environment.get(BALANCER_HOST), environment.get(BALANCER_PORT, "8001")
    if host:
        values["servers"] = tuple(dict.fromkeys((f"grpc://{host}:{port}", *values.get("servers", ()))))
    return ClientSettings(**values)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings {path} are not TOML: {one_line(error)}") from error
    table = document.get("sonic")
    if not isinstance(table, dict):
        raise ConfigError(f"settings {path} have no table [sonic]")
    for name in table:
        _known(name, str(path))
    return {name: _convert(name, value, f"{name} in {path}") for name, value in table.items()}


def _known(name: str, where: str) -> None:
    names = [field.name for field in fields(ClientSettings)]
    if name not in names:
        raise ConfigError(f"{where}: no setting {name!r}, expected one of {', '.join(names)}")


def _plain(name: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    if str(_types()[name]).startswith("tuple"):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _convert(name: str, value: Any, where: str) -> Any:
    kind = _types()[name]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        reason = one_line(error).removeprefix("ValidationError: ")
        expected = f", expected one of {', '.join(words)}" if (words := _words(kind)) else ""
        raise ConfigError(f"{where}: {reason}{expected}, given {value!r}") from error


def _words(kind: Any) -> tuple[str, ...]:
    """Return the words that a type allows, or lists of it."""
    parts = get_args(kind)
    return parts if get_origin(kind) is Literal else tuple(word for part in parts for word in _words(part))


def _types() -> dict[str, Any]:
    return get_type_hints(ClientSettings)


def _check(name: str, holds: bool, expected: str, given: object) -> None:
    if not holds:
        raise ConfigError(f"{name} is {expected}; given {given}")
