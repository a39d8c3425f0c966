"""Jagged columns of a collection, flattened; and what all features share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np

from sonic.client.conversion.ragged import entries, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Flat(NamedTuple):
    """Jagged columns of one collection, flattened.

    Attributes
    ----------
    counts : int64 [events]
    columns : dict of float64 [entries]
        By field.
    """

    counts: Ints
    columns: dict[str, Floats]

    @property
    def first(self) -> Ints:
        """Where each event's entries begin."""
        return np.cumsum(self.counts) - self.counts

    @property
    def event(self) -> Ints:
        """Event of each entry."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def take(self, which: Ints) -> dict[str, Floats]:
        """Columns of these entries."""
        return {name: column[which] for name, column in self.columns.items()}


def flat(events: ak.Array, collection: str, names: Iterable[str]) -> Flat:
    """Flatten the branches ``<collection>_<name>`` of events."""
    columns = {}
    counts = np.zeros(len(events), np.int64)
    for name in names:
        # By way of the layout: with dozens of branches, high-level calls would take longer than the networks.
        found = entries(ak.to_layout(events[f"{collection}_{name}"]))
        counts = found.counts
        columns[name] = np.asarray(numbers(found.content), np.float64)
    return Flat(counts, columns)


def fields(branches: Iterable[str], collection: str) -> tuple[str, ...]:
    """Names of a collection's fields among branches."""
    return tuple(name.removeprefix(f"{collection}_") for name in branches if name.startswith(f"{collection}_"))


def finite(values: Floats) -> Floats:
    """Put 0 for what is NaN or infinite."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def integers(values: Floats) -> Ints:
    """Bring indices and codes, which a damaged file may have as NaN or infinity, to integers; those are -1."""
    return np.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64)
