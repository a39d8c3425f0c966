"""What was measured beside what is to be reached, as text and as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from .tally import Tally


@dataclass(frozen=True)
class Mark:
    """One thing to be reached.

    Attributes
    ----------
    name, measured, goal : str
    reached : bool
    """

    name: str
    measured: str
    goal: str
    reached: bool

    @classmethod
    def at_most(cls, name: str, measured: float, goal: float, unit: str = "") -> Mark:
        """Make a mark with an upper bound."""
        return cls(name, f"{measured:.4g}{unit}", f"at most {goal:g}{unit}", measured <= goal)

    @classmethod
    def at_least(cls, name: str, measured: float, goal: float) -> Mark:
        """Make a mark with a lower bound."""
        return cls(name, f"{measured:.4g}", f"at least {goal:g}", measured >= goal)

    @classmethod
    def none(cls, name: str, measured: int) -> Mark:
        """Make a mark for what must not happen."""
        return cls(name, str(measured), "none", measured == 0)


@dataclass
class Part:
    """One part of the soak.

    Attributes
    ----------
    name : str
    marks : list of Mark
    notes : list of str
        What went wrong, in words.
    details : dict of str to object
        For whoever reads the JSON.
    tally : Tally or None
    """

    name: str
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    tally: Tally | None = None

    @property
    def reached(self) -> bool:
        """Whether all of its marks are."""
        return all(mark.reached for mark in self.marks)

    def to_document(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        document = {"marks": [asdict(mark) for mark in self.marks], "notes": self.notes, **self.details}
        if self.tally is not None:
            document["requests"] = [
                {"kind": kind, "way": way, "outcomes": outcomes, **_quantiles_ms(self.tally, kind, way)}
                for (kind, way), outcomes in self.tally.outcomes().items()
            ]
        return document

    def render(self) -> Iterator[RenderableType]:
        """Yield it as tables and lines for a terminal."""
        if self.tally is not None:
            table = Table("request", "way", "outcomes", "median ms", "99 % ms", title=f"{self.name}: requests")
            for (kind, way), outcomes in self.tally.outcomes().items():
                told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
                quantiles = _quantiles_ms(self.tally, kind, way)
                table.add_row(kind, way, told, *(f"{value:.3g}" for value in quantiles.values()))
            yield table
        table = Table("mark", "measured", "goal", "", title=self.name)
        for mark in self.marks:
            verdict = "[green]reached[/green]" if mark.reached else "[red]missed[/red]"
            table.add_row(mark.name, mark.measured, mark.goal, verdict)
        yield table
        yield from self.notes


def _quantiles_ms(tally: Tally, kind: str, way: str) -> dict[str, float]:
    durations = tally.durations.get((kind, way))
    if durations is None:
        return {}
    return {"median_ms": 1000 * durations.quantile_s(0.5), "p99_ms": 1000 * durations.quantile_s(0.99)}
