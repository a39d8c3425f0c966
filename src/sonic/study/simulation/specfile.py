"""SPEC.toml of a simulation: read, checked, and unfolded into points. Pure.

::

    target = "ak4 on one GPU"

    [models.ak4]                        # what is served
    max_rows = 500
    service = {execution_s = 1e-3, row_s = 5e-5}

    [[servers]]                         # what serves it
    count = 4
    network = {round_trip_ms = 10}

    [jobs]                              # who asks: jobs, clients of a closed loop, or arrivals at a rate
    number = 100
    threads = 4

    [[jobs.modules]]
    name = "rest"
    cpu_s = 0.93

    [[jobs.modules]]
    name = "tagger"
    cpu_s = 0.06
    model = "ak4"
    rows = 10

    [grid]                              # every combination of these
    jobs = [50, 100, 200]
"""

from __future__ import annotations

import re
import tomllib
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from sonic.errors import ConfigError, one_line, shown
from sonic.framework.graph import similar_or_all
from sonic.study.simulation.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.study.records import Setting

_SHORT = {
    "clients": "clients.number",
    "in_flight": "clients.in_flight",
    "rate": "arrivals.rate",
    "jobs": "jobs.number",
    "threads": "jobs.threads",
    "mode": "jobs.mode",
    "servers": "servers.count",
    "instances": "models.*.instances",
    "batch": "models.*.max_rows",
    "delay_us": "models.*.delay_us",
    "round_trip_ms": "servers.network.round_trip_ms",
    "bandwidth_mbps": "servers.network.bandwidth_mbps",
    "policy": "balancer.policy",
}
"""What a setting of the grid may be called, as in a scan; any other is a path."""


def parse(
    text: str, where: str, over: Mapping[str, tuple[Setting, ...]] | None = None
) -> list[tuple[dict[str, Setting], Spec]]:
    """Read a file, and unfold its grid.

    Parameters
    ----------
    text : str
    where : str
        For messages.
    over : mapping, optional
        More axes, or others in place of the file's.

    Returns
    -------
    list of (settings, Spec)
        For each point what is its own, and the whole.

    Raises
    ------
    ConfigError
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {one_line(error)}") from error
    return unfold(tree, where, over)


def unfold(
    tree: dict[str, Any], where: str, over: Mapping[str, tuple[Setting, ...]] | None = None
) -> list[tuple[dict[str, Setting], Spec]]:
    """Do the same with what such a file holds.

    Raises
    ------
    ConfigError
    """
    tree = dict(tree)
    grid = tree.pop("grid", {})
    if not isinstance(grid, dict):
        raise ConfigError(f"{where}: grid is a table of lists, given {shown(grid)}")
    axes = {**grid, **(over or {})}
    for name, values in axes.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(f"{where}: grid.{name} is a list of values, given {shown(values)}")
    points = []
    for values in product(*axes.values()):
        own = dict(zip(axes, values, strict=True))
        changed = tree
        for name, value in own.items():
            changed = _with(changed, _SHORT.get(name, name).split("."), value, f"{where}: grid.{name}")
        points.append((own, _convert(changed, where)))
    return points


def axis(text: str) -> tuple[str, tuple[Setting, ...]]:
    """Read an axis of the grid as a command line has it: ``clients=1,2,4``.

    Raises
    ------
    ConfigError
    """
    name, given, values = text.partition("=")
    if not (name and given and values):
        raise ConfigError(f"an axis is NAME=VALUE,VALUE..., given {text!r}")
    return name, tuple(_value(each.strip()) for each in values.split(","))


def _value(text: str) -> Setting:
    try:
        value = tomllib.loads(f"it = {text}")["it"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _with(tree: Any, path: list[str], value: Setting, what: str) -> Any:
    """Return a copy in which what stands at a path is another value; ``*``, and a list, are all of them."""
    if not path:
        return value
    if isinstance(tree, list):
        return [_with(each, path, value, what) for each in tree]
    if not isinstance(tree, dict):
        raise ConfigError(f"{what}: there is nothing of that name")
    names = list(tree) if path[0] == "*" else [path[0]]
    return tree | {name: _with(tree.get(name, {}), path[1:], value, what) for name in names}


def _convert(tree: Any, where: str) -> Spec:
    try:
        return msgspec.convert(tree, Spec)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_said(error)}{_instead(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _said(error: msgspec.ValidationError) -> str:
    text = one_line(error)
    return text.removeprefix("ValidationError: ").replace("Object contains", "it has").replace("`", "'")


_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?$")


def _instead(error: msgspec.ValidationError) -> str:
    """Return what there is in place of an unknown field: those that look like it, or else all."""
    found = _UNKNOWN.search(str(error))
    if found is None:
        return ""
    table = inspect.type_info(Spec)
    for step in re.findall(r"\w+|\[.*?\]", found["path"] or ""):
        if isinstance(table, inspect.StructType):
            table = next(field.type for field in table.fields if field.name == step)
        elif isinstance(table, inspect.VarTupleType):
            table = table.item_type
        elif isinstance(table, inspect.DictType):
            table = table.value_type
        if isinstance(table, inspect.UnionType):  # it or None
            table = next(each for each in table.types if not isinstance(each, inspect.NoneType))
    if not isinstance(table, inspect.StructType):
        return ""
    return similar_or_all(found["name"], [field.encode_name for field in table.fields])
