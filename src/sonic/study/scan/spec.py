"""SPEC.toml: what is scanned. Read, checked, and unfolded into points. Pure.

::

    target = "particlenet-ak4"          # a model or a workflow
    server = "grpc://host:8001"         # left out: the scan starts servers of its own
    metrics = "http://host:8002/metrics"  # of that server, where they are not next to its port

    [fixed]                             # settings that all points share: sonic.study.scan.settings
    rows = 10

    [grid]                              # every combination of these
    clients = [1, 2, 4, 8]
    round_trip_ms = [0, 10, 60]

    [[zip]]                             # of these the first with the first, the second with the second ...
    batching = [false, true]
    delay_us = [0, 100]

    [measure]                           # how each point is measured: sonic.study.load.settings
    window_s = 2.0
    repeats = 3
    rounds = 4                          # each point so many times, far apart: sonic.study.scan.rounds
"""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from sonic.client.url import parse_server
from sonic.errors import ConfigError, shown
from sonic.framework.graph import similar_or_all
from sonic.study.load.settings import LoadSettings
from sonic.study.records import written
from sonic.study.scan.settings import KINDS, KNOWN, checked, concerning, conditions_of

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from sonic.study.records import Setting

MOST_POINTS = 100_000

_TABLES = ("target", "about", "server", "metrics", "fixed", "grid", "zip", "measure")
_MEASURE: dict[str, type] = {
    "warmup_s": float,
    "window_s": float,
    "repeats": int,
    "windows": int,
    "processes": int,
    "timeout_s": float,
    "tolerance": float,
    "seed": int,
    "shapes": dict,
    "rounds": int,
}


@dataclass(frozen=True)
class Point:
    """What is measured at once.

    Parameters
    ----------
    target : str
    settings : dict of str to Setting
        All that was said.
    """

    target: str
    settings: dict[str, Setting]

    def __str__(self) -> str:
        return " ".join([self.target, *(f"{name}={written(value)}" for name, value in self.settings.items())])


@dataclass(frozen=True)
class Spec:
    """A scan; made by :func:`parse`.

    Parameters
    ----------
    targets : tuple of str
        Models or workflows.
    points : tuple of Point
        In the order in which the first round has them: one server after the other, and on each one network after the
        other.
    varied : tuple of str
        Names of the settings that differ between points.
    server : str or None
        URL; None: servers of its own.
    metrics : str
        URL of that server's metrics; empty: where they are by habit.
    about : str
        What it is for.
    measure : dict
        ``warmup_s``, ``window_s``, ``repeats``, ``windows``, ``processes``, ``timeout_s``, ``tolerance``, ``seed``,
        and ``shapes``, as far as they were given.
    rounds : int
        How often each point is measured.
    where : str
        Name of the file, for messages.
    tables : dict of str to str
        By setting, the table of the file that it is in: ``[fixed]``, ``[grid]`` or ``[[zip]]``.
    """

    targets: tuple[str, ...]
    points: tuple[Point, ...]
    varied: tuple[str, ...]
    server: str | None = None
    metrics: str = ""
    about: str = ""
    measure: dict[str, Any] = field(default_factory=dict)
    rounds: int = 1
    where: str = "SPEC.toml"
    tables: dict[str, str] = field(default_factory=dict)


def parse(text: str, where: str = "SPEC.toml") -> Spec:
    """Read a specification.

    Parameters
    ----------
    text : str
        TOML.
    where : str
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        With the first thing that is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {error}") from None
    _check_names(document, _TABLES, where, "key")
    targets = _targets(document.get("target"), where)
    server = document.get("server")
    if server is not None and not isinstance(server, str):
        raise ConfigError(
            f"{where}: server is the URL of one; what concerns the scan's own goes into [fixed] or [grid]"
        )
    said, fixed = _said_by(server, where), _fixed(document, where)
    zipped, grid = _zipped(document, where), _grid(document, where)
    axes = [*zipped, *grid]
    _check_once([said, fixed, *(axis[0] for axis in axes)], where)
    measure = _measure(document, where)
    rounds = measure.pop("rounds", 1)
    count = len(targets) * prod(map(len, axes))
    if count * rounds > MOST_POINTS:
        several = f" in {rounds:,} rounds" if rounds > 1 else ""
        raise ConfigError(f"{where}: a scan measures at most {MOST_POINTS:,} points, given {count:,}{several}")
    points = []
    for target in targets:
        for chosen in product(*axes):
            settings = said | fixed
            for each in chosen:
                settings |= each
            _check_together(settings, server, where)
            points.append(Point(target, {name: settings[name] for name in KNOWN if name in settings}))
    for point, times in Counter(map(str, points)).most_common(1):
        if times > 1:
            raise ConfigError(f"{where}: a point is there twice: {point}")
    return Spec(
        targets,
        tuple(_grouped(points)),
        tuple(name for name in KNOWN if any(name in value for axis in axes for value in axis)),
        server,
        _word(document, "metrics", where),
        _word(document, "about", where),
        measure,
        rounds,
        where,
        dict.fromkeys(fixed, "[fixed]")
        | {name: "[grid]" for axis in grid for name in axis[0]}
        | {name: "[[zip]]" for axis in zipped for name in axis[0]},
    )


def server_of(point: Point) -> Hashable:
    """Return what makes another server necessary than another point's.

    A network of the kernel's belongs to the server, which is started in it.
    """
    concerns = concerning(point.settings, "server")
    if point.settings.get("conditions") == "netem":
        concerns |= concerning(point.settings, "network")
    return point.target, tuple(sorted(concerns.items()))


def _targets(given: object, where: str) -> tuple[str, ...]:
    targets = given if isinstance(given, list) else [given]
    if not targets or not all(isinstance(target, str) and target for target in targets):
        raise ConfigError(
            f"{where}: target is the name of a model or workflow, or a list of them, given {shown(given)}"
        )
    return tuple(targets)


def _fixed(document: Mapping[str, Any], where: str) -> dict[str, Setting]:
    table = _table(document, "fixed", where)
    where = f"{where}, [fixed]"
    _check_names(table, KNOWN, where, "setting")
    return {name: checked(name, value, where) for name, value in table.items()}


def _grid(document: Mapping[str, Any], where: str) -> list[list[dict[str, Setting]]]:
    table = _table(document, "grid", where)
    where = f"{where}, [grid]"
    _check_names(table, KNOWN, where, "setting")
    return [[{name: value} for value in _values(name, values, where)] for name, values in table.items()]


def _zipped(document: Mapping[str, Any], where: str) -> list[list[dict[str, Setting]]]:
    tables = document.get("zip", [])
    if isinstance(tables, dict):
        tables = [tables]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{where}: zip is a table, or several: [[zip]]")
    found = []
    for table in tables:
        _check_names(table, KNOWN, f"{where}, [[zip]]", "setting")
        columns = {name: _values(name, values, f"{where}, [[zip]]") for name, values in table.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ConfigError(f"{where}, [[zip]]: as many values of each are expected, given: {said}")
        found.append([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    return [axis for axis in found if axis]


def _values(name: str, values: object, where: str) -> list[Setting]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}: {name} is a list of values, given {shown(values)}")
    found = [checked(name, value, where) for value in values]
    if len(set(found)) < len(found) and where.endswith("[grid]"):
        raise ConfigError(f"{where}: {name} has a value twice: {shown(values)}")
    return found


def _said_by(server: str | None, where: str) -> dict[str, Setting]:
    """Return the settings that the URL of a server has."""
    if server is None:
        return {}
    try:
        address = parse_server(server)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return {"protocol": address.scheme, **{name: value for name, value in address.options if name == "compression"}}


def _check_once(settings: Iterable[Collection[str]], where: str) -> None:
    seen: set[str] = set()
    for names in settings:
        for name in names:
            if name in seen:
                raise ConfigError(f"{where}: {name} is set twice")
            seen.add(name)


def _check_together(settings: Mapping[str, Setting], server: str | None, where: str) -> None:
    """Refuse what cannot be, before an hour has been spent on the rest."""
    try:
        conditions_of(settings)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    network = concerning(settings, "network")
    protocol = settings.get("protocol", "grpc")
    if server is not None:
        if own := concerning(settings, "server"):
            raise ConfigError(f"{where}: {next(iter(own))} is for servers that the scan starts, but server is {server}")
        if settings.get("conditions") == "netem":
            raise ConfigError(
                f'{where}: conditions = "netem" is for servers that the scan starts, but server is {server}'
            )
    if network and protocol not in ("grpc", "http"):
        raise ConfigError(f"{where}: {next(iter(network))} needs a network, but protocol is {protocol}")
    if settings.get("compression", "none") != "none" and protocol == "local":
        raise ConfigError(f"{where}: compression is for what goes over a wire, but protocol is local")
    if "rate" in settings and "clients" in settings:
        raise ConfigError(f"{where}: rate is of an open loop and clients of a closed one: set one of them")
    if "arrivals" in settings and "rate" not in settings:
        raise ConfigError(f"{where}: arrivals is of an open loop: set rate, too")
    if settings.get("batching") is False and (settings.get("delay_us") or "preferred" in settings):
        raise ConfigError(f"{where}: batching is false, but delay_us or preferred is set; pair them in [[zip]]")
    if settings.get("backend", "onnxruntime") == "pytorch" and settings.get("weights", "trained") != "random":
        raise ConfigError(f'{where}: backend = "pytorch" needs weights = "random": trained ones ship as ONNX')


def _grouped(points: list[Point]) -> list[Point]:
    """Sort such that servers, and networks before them, are changed seldom; otherwise as they came."""
    servers: dict[Hashable, int] = {}
    networks: dict[Hashable, int] = {}

    def key(point: Point) -> tuple[int, int]:
        server = server_of(point)
        network = (server, *concerning(point.settings, "network", "client").items())
        return servers.setdefault(server, len(servers)), networks.setdefault(network, len(networks))

    return sorted(points, key=key)


def _measure(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    table = _table(document, "measure", where)
    _check_names(table, _MEASURE, f"{where}, [measure]", "setting")
    for name, value in table.items():
        kind = _MEASURE[name]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(f"{where}, [measure]: {name} is {KINDS[kind]}, given {shown(value)}")
    if "shapes" in table:
        table["shapes"] = {name: _shape(name, shape, where) for name, shape in table["shapes"].items()}
    if table.get("rounds", 1) < 1:
        raise ConfigError(f"{where}, [measure]: rounds is 1 or more; given {table['rounds']}")
    try:
        LoadSettings(**{name: value for name, value in table.items() if name != "rounds"})
    except ConfigError as error:
        raise ConfigError(f"{where}, [measure]: {error}") from None
    return table


def _shape(name: str, shape: object, where: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise ConfigError(f"{where}, [measure]: the shape of {name} is a list of whole numbers, given {shown(shape)}")
    return tuple(shape)


def _word(document: Mapping[str, Any], name: str, where: str) -> str:
    word = document.get(name, "")
    if not isinstance(word, str):
        raise ConfigError(f"{where}: {name} is a text, given {shown(word)}")
    return word


def _table(document: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name} is a table, [{name}], given {shown(table)}")
    return dict(table)


def _check_names(table: Iterable[str], known: Collection[str], where: str, what: str) -> None:
    for name in table:
        if name not in known:
            place = "[measure]" if name in _MEASURE else "[fixed] or [grid]" if name in KNOWN else ""
            hint = f"; {name} goes into {place}" if place else similar_or_all(name, known)
            raise ConfigError(f"{where}: there is no {what} {name}{hint}")
