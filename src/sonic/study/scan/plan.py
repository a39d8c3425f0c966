"""Which points are still to be measured, and how long that takes. Pure: versions, times and records are arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from sonic.errors import ConfigError
from sonic.study.load.settings import LoadSettings
from sonic.study.scan.rounds import agree, is_whole, ordered, rounds_of
from sonic.study.scan.settings import told
from sonic.study.scan.spec import server_of

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

    from sonic.study.records import Record, Setting
    from sonic.study.scan.spec import Point, Spec

Again = Literal["failed", "unstable", "measured", "all"]

_SERVER_START_S = 4.0
_POINT_START_S = 1.5


def read_again(words: Iterable[str]) -> frozenset[str]:
    """Read which points are to be measured again, though there is a record of them.

    Raises
    ------
    ConfigError
        If a word is none of :data:`Again`.
    """
    chosen = set(words)
    for word in chosen:
        if word not in get_args(Again):
            raise ConfigError(f"--again is one of {', '.join(get_args(Again))}, given {word}")
    return frozenset(("failed", "unstable", "measured") if "all" in chosen else chosen)


def identity(target: str, settings: Mapping[str, Setting], server: Setting | None) -> Hashable:
    """Return what tells a point from others: what is measured, with what is not a default, on which server."""
    return target, tuple(sorted(told(settings).items())), server or ""


def identity_of(record: Record) -> Hashable:
    """Return that of a record."""
    return identity(record.target, record.settings, record.settings.get("server"))


@dataclass(frozen=True)
class Visit:
    """One measurement of a point.

    Parameters
    ----------
    point : Point
    round : int
        From 1.
    """

    point: Point
    round: int = 1


@dataclass(frozen=True)
class Plan:
    """What is left of a scan.

    Parameters
    ----------
    visits : tuple of Visit
        Of points, in this order.
    records : tuple of Record
        Of the scan's points, as far as they stand: those of some may still lack rounds.
    kept : tuple of Record
        All records that there are, whether of this scan or not, without those that were interrupted.
    """

    visits: tuple[Visit, ...]
    records: tuple[Record, ...] = ()
    kept: tuple[Record, ...] = field(default=(), repr=False)

    @property
    def points(self) -> tuple[Point, ...]:
        """Those that are visited, each once."""
        return tuple({id(visit.point): visit.point for visit in self.visits}.values())


def plan(
    spec: Spec, records: Sequence[Record], versions: Mapping[str, str], again: Collection[str] = frozenset()
) -> Plan:
    """Compare a scan with what there is of it.

    A record stands for a point if target, settings and server are the same, and the versions that both know. It has as
    many of the point's rounds as it says: a point's next round is the one after those.

    Parameters
    ----------
    spec : Spec
    records : sequence of Record
        In the order in which they were written: of two of one point, the later counts.
    versions : mapping of str to str
        Of what would measure now.
    again : collection of str
        Statuses, as :func:`read_again` gives them: all rounds of such points are measured again. Points that were
        interrupted are in any case.
    """
    there: dict[Hashable, Record] = {}
    for record in records:
        if record.status != "interrupted" and agree(record.versions, versions):
            there[identity_of(record)] = record
    done: list[Record] = []
    owed: list[list[Point]] = [[] for _ in range(spec.rounds)]
    for point in spec.points:
        found = there.get(identity(point.target, point.settings, spec.server))
        had = 0
        if found is not None:
            whole = is_whole(found, spec.rounds)
            if not (whole and found.status in again):
                done.append(found)
                had = spec.rounds if whole else len(rounds_of(found))
        for each in owed[had:]:
            each.append(point)
    visits = [Visit(point, number) for number, each in enumerate(owed, 1) for point in ordered(each, number)]
    return Plan(tuple(visits), tuple(done), tuple(record for record in records if record.status != "interrupted"))


def estimated_s(points: Sequence[Point], spec: Spec) -> float:
    """Guess how long points of a scan take that are stable at once, in seconds.

    Parameters
    ----------
    points : sequence of Point
        One after the other; one that is measured several times, as often.
    spec : Spec
    """
    load = LoadSettings(**spec.measure)
    point_s = _POINT_START_S + load.warmup_s + load.agreeing * load.window_s
    starts = sum(one != other for one, other in pairwise(map(server_of, points)))
    servers = starts + 1 if points and spec.server is None else 0
    return len(points) * point_s + servers * _SERVER_START_S
