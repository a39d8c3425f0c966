"""What a module is set to, told by its attributes in a way that is the same in every process."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from enum import Enum
from os import PathLike, fspath
from typing import Any

import numpy as np

_SHORT = 200
"""Letters of JSON that are kept as they are, so that a message can show them."""

_DEEPEST = 16
"""So many levels of lists in lists: one may hold itself."""


class _UntoldError(Exception):
    """A value that another process would write in another way, or that this file does not know."""


def attributes(module: object) -> dict[str, Any]:
    """Return a module's own attributes, as JSON can hold them; a digest of what is long.

    Numbers, texts, arrays of numpy, and lists, dicts, sets and dataclasses of those. What else there is, such as a
    lock or a network, is left out, since nothing of it need be the same in the next process.
    """
    told = {}
    for name, value in vars(module).items():
        try:
            plain = _plain(value, _DEEPEST)
        except _UntoldError:
            continue
        text = json.dumps(plain)
        told[name] = plain if len(text) <= _SHORT else hashlib.sha256(text.encode()).hexdigest()
    return told


def _plain(value: Any, levels: int) -> Any:
    if not levels:
        raise _UntoldError
    if isinstance(value, Enum):
        return [type(value).__qualname__, value.name]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)  # no number is equal to NaN
    if isinstance(value, complex | bytes | bytearray | range):
        return repr(value)
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, list | tuple):
        return [_plain(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return _sorted([[_plain(key, levels - 1), _plain(item, levels - 1)] for key, item in value.items()])
    if isinstance(value, set | frozenset):
        return _sorted([_plain(item, levels - 1) for item in value])
    if is_dataclass(value) and not isinstance(value, type):
        return [[field.name, _plain(getattr(value, field.name), levels - 1)] for field in fields(value)]
    raise _UntoldError


def _sorted(plain: list[Any]) -> list[Any]:
    """Put in one order what may come in another one in each process."""
    return sorted(plain, key=json.dumps)
