"""A command line -> the values of its flags, and what of it is ignored. Pure.

A flag is written ``--flag=value`` or ``--flag value``, and may be shortened as long as it stays unique.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.server.tritonserver.known import FLAGS, INERT, NAMES, REFUSED, REPEATABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

_BOOLS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def read(arguments: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the values that each flag is given, and the warnings.

    Raises
    ------
    ConfigError
        If a value has not the type of its flag or is missing, or a flag is one that may not be ignored.
    """
    values: dict[str, list[Any]] = {}
    warnings: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "-h":
            argument = "--help"
        if not argument.startswith("--") or argument == "--":
            warnings.append(f"{argument!r} is ignored: it belongs to no flag")
            continue
        written, has_value, value = argument[2:].partition("=")
        name = _full(written)
        known = name in FLAGS
        kind = FLAGS[name][0] if known else str
        if kind is type(None):
            values.setdefault(name, []).append(True)
            continue
        if not has_value and left and (known or not left[0].startswith("--")):
            value = left.pop(0)
        elif not has_value and known:
            raise ConfigError(f"--{name} expects a value, given none")
        if known:
            values.setdefault("model-repository" if name == "model-store" else name, []).append(
                _convert(name, kind, value)
            )
        elif name not in REFUSED:
            warnings.append(f"--{written} is ignored: {_why(name)}")
        elif value and _BOOLS.get(value.lower(), True):
            raise ConfigError(f"--{name} is not offered, and {REFUSED[name]}")
    for name, given in values.items():
        if len(given) > 1 and name not in REPEATABLE:
            warnings.append(f"--{name} is given {len(given)} times: the last one counts")
    return values, warnings


def _full(written: str) -> str:
    matching = [name for name in NAMES if name.startswith(written)] if written else []
    return matching[0] if written not in NAMES and len(matching) == 1 else written


def _why(name: str) -> str:
    if name == "http-max-input-size":
        return "requests of up to 2 GiB are taken, and --max-message-bytes is the limit for HTTP and gRPC"
    return "it has no effect here" if name in INERT else "no such flag is known"


def _convert(name: str, kind: type, value: str) -> Any:
    if kind is bool:
        if value.lower() not in _BOOLS:
            raise ConfigError(f"--{name} expects true or false, given {value!r}")
        return _BOOLS[value.lower()]
    if kind is int:
        if name == "log-verbose":  # which was true or false once, and may be still
            value = {"true": "1", "false": "0"}.get(value.lower(), value)
        try:
            return int(value)
        except ValueError:
            raise ConfigError(f"--{name} expects a whole number, given {value!r}") from None
    return value
