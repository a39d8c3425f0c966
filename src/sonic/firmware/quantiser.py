"""What a layer does that gives each number a type of its own, to numbers and to symbols alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.firmware.numbers import Fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sonic.firmware.layers import Quantiser

    Places = NDArray[np.int64]


def types(layer: Quantiser, shape: tuple[int, ...]) -> Iterator[tuple[Fixed | None, Places]]:
    """Give each type of a layer, and which numbers of a row of that shape are of it; None: those that are zero."""
    parts = (layer.signed, np.maximum(layer.total, 0), layer.integer)
    each = np.stack([np.broadcast_to(part, shape).reshape(-1) for part in parts], axis=-1)
    each[each[:, 1] == 0] = 0
    kinds, kind_of = np.unique(each, axis=0, return_inverse=True)
    for kind, (signed, total, integer) in enumerate(kinds.tolist()):
        number = Fixed(total, integer, bool(signed), layer.rounding, layer.overflow) if total else None
        yield number, np.flatnonzero(kind_of.reshape(-1) == kind)


def only(layer: Quantiser, shape: tuple[int, ...]) -> Fixed | None:
    """Return the type of all its numbers; None: there are several, or they are zero."""
    (first, _), *others = types(layer, shape)
    return None if others else first


def cast(layer: Quantiser, to: Callable[[Fixed, Any], Any], rows: Any) -> Any:
    """Give each number its type.

    Parameters
    ----------
    layer : Quantiser
    to : callable of Fixed, array -> array
        Makes of exact numbers those of a type.
    rows : array [N, *shape]
    """
    flat = rows.reshape(rows.shape[0], -1)
    pieces, places = [], []
    for number, where in types(layer, rows.shape[1:]):
        pieces.append(flat[:, where] * 0.0 if number is None else to(number, flat[:, where]))
        places.append(where)
    back = np.argsort(np.concatenate(places))
    return np.concatenate(pieces, axis=1)[:, back].reshape(rows.shape)
