"""What became of the requests, counted. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import ceil, floor, inf, log10
from typing import TYPE_CHECKING, Any, Self

from .probes import WRONG

if TYPE_CHECKING:
    from collections.abc import Iterable

_STEPS = 20  # buckets a decade: a quantile is good to 6 %
_MAX_TEXTS = 20


@dataclass
class Durations:
    """How long things took, in buckets of equal ratio: any number of them in little room, and they can be added up."""

    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, duration_s: float) -> None:
        """Count one."""
        self.buckets[floor(_STEPS * log10(max(duration_s, 1e-6)))] += 1

    def quantile_s(self, share: float) -> float:
        """Return the time within which this share of them ended, in seconds; nan without any."""
        left = ceil(share * self.buckets.total())
        for bucket, count in sorted(self.buckets.items()):
            left -= count
            if left <= 0:
                return float(10 ** ((bucket + 0.5) / _STEPS))
        return float("nan")


@dataclass
class Tally:
    """Outcomes by kind of request and way to the server, with latencies, and what went wrong in words."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: dict[tuple[str, str], Durations] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, way: str, outcome: str, text: str = "", duration_s: float = inf) -> None:
        """Count one request.

        Parameters
        ----------
        kind, way, outcome : str
            Of request, of transport, and what became of it.
        text : str
            Why that is wrong, if it is.
        duration_s : float
            Until its answer came; infinite: none did.
        """
        self.counts[kind, way, outcome] += 1
        if duration_s < inf:
            self.durations.setdefault((kind, way), Durations()).add(duration_s)
        if outcome == WRONG and len(self.texts) < _MAX_TEXTS:
            self.texts.append(f"{way}: {text}"[:1000])

    def merge(self, other: Tally) -> None:
        """Add what another one counted."""
        self.counts.update(other.counts)
        for key, durations in other.durations.items():
            self.durations.setdefault(key, Durations()).buckets.update(durations.buckets)
        self.texts = [*self.texts, *other.texts][:_MAX_TEXTS]

    @property
    def total(self) -> int:
        """Requests that ended."""
        return self.counts.total()

    @property
    def wrong(self) -> int:
        """Those of them that ended in something that they must not end in, or not at all."""
        return sum(count for (_, _, outcome), count in self.counts.items() if outcome == WRONG)

    def never(self, outcome: str, kinds: Iterable[str]) -> list[str]:
        """Return the kinds of request that never ended so."""
        found = {kind for kind, _, ended in self.counts if ended == outcome}
        return [kind for kind in kinds if kind not in found]

    def outcomes(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return counts by outcome, for each kind and way."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for (kind, way, outcome), count in sorted(self.counts.items()):
            found.setdefault((kind, way), {})[outcome] = count
        return found

    def to_document(self) -> dict[str, Any]:
        """Return it as what JSON can hold; :meth:`from_document` is the way back."""
        return {
            "counts": [[*key, count] for key, count in self.counts.items()],
            "durations": [[*key, sorted(value.buckets.items())] for key, value in self.durations.items()],
            "texts": self.texts,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_document` made."""
        return cls(
            Counter({(kind, way, outcome): count for kind, way, outcome, count in document["counts"]}),
            {(kind, way): Durations(Counter(dict(items))) for kind, way, items in document["durations"]},
            list(document["texts"]),
        )
