"""The rounds of a scan, each of which measures every point once, and the record of a point that they make. Pure.

A machine's speed drifts, by neighbours and by heat. Measured one after the other, points bend with it; measured in
rounds, each meets it at several times. Every second round goes backwards, so that all points are measured as late as
each other on average: after an even number of rounds, what drifts in proportion to time has changed all by the same.
The drift shows as well, since the interval of a point is over the means of its rounds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sonic.study.histogram import merged
from sonic.study.load.stable import estimate
from sonic.study.records import Round, counting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.study.records import Estimate, Record, Status
    from sonic.study.scan.spec import Point


def ordered(points: Sequence[Point], number: int) -> Sequence[Point]:
    """Return points in the order in which a round, from 1, measures them: forwards, backwards, forwards ...

    Where one round ends the next begins, on the same server.
    """
    return points if number % 2 else points[::-1]


def rounds_of(record: Record) -> tuple[Round, ...]:
    """Return the rounds in which a point was measured; of one that was measured at once, that one."""
    if record.rounds:
        return record.rounds
    return (
        Round(
            started=record.started,
            status=record.status,
            reason=record.reason,
            throughput=record.throughput,
            row_rate=record.row_rate,
        ),
    )


def is_whole(record: Record, rounds: int) -> bool:
    """Whether a point needs no further round: it has all, or failed, or can no longer be stable in most of them."""
    made = Counter(each.status for each in rounds_of(record))
    return made.total() >= rounds or made["failed"] > 0 or 2 * made["unstable"] >= rounds


def agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether the versions that both know are the same."""
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def joined(earlier: Record, latest: Record) -> Record:
    """Return the record of a point after a further round.

    It is failed if a round was, measured if more than half of them were, and else unstable. Its figures are those of
    the rounds that were measured or, if none was, of the unstable ones: rates are the means of their means, with
    Student's interval over these; latencies and windows are taken together.

    Parameters
    ----------
    earlier : Record
        Of the rounds so far. If other versions made it, the latest round stands alone.
    latest : Record
        Of one round.
    """
    if not agree(earlier.versions, latest.versions):
        return latest
    rounds = (*rounds_of(earlier), *rounds_of(latest))
    used = counting(rounds)
    parts = [each for each in (earlier, latest) if any(one in used for one in rounds_of(each))]
    return replace(
        latest,
        settings=earlier.settings | latest.settings,
        status=_status(rounds),
        reason="; ".join(filter(None, (_said(number, each) for number, each in enumerate(rounds, 1)))),
        started=earlier.started,
        versions=earlier.versions | latest.versions,
        rounds=rounds,
        throughput=_mean([each.throughput for each in used]),
        row_rate=_mean([each.row_rate for each in used]),
        latencies=merged([each.latencies for each in parts if each.latencies is not None]),
        windows=tuple(window for each in parts for window in each.windows),
        details=_details(parts, used) if parts else latest.details,
    )


def _mean(figures: Sequence[Estimate | None]) -> Estimate | None:
    known = [each for each in figures if each is not None]
    return estimate([each.value for each in known]) if len(known) > 1 else next(iter(known), None)


def _details(parts: Sequence[Record], used: Sequence[Round]) -> dict[str, float]:
    """Return the means over the rounds that count, of which a record may have several."""
    sums: dict[str, list[tuple[float, int]]] = {}
    for part in parts:
        weight = sum(each in used for each in rounds_of(part))
        for name, detail in part.details.items():
            sums.setdefault(name, []).append((detail, weight))
    return {
        name: sum(detail * weight for detail, weight in each) / sum(weight for _, weight in each)
        for name, each in sums.items()
    }


def _status(rounds: Sequence[Round]) -> Status:
    made = Counter(each.status for each in rounds)
    if made["failed"]:
        return "failed"
    return "measured" if 2 * made["measured"] > len(rounds) else "unstable"


def _said(number: int, each: Round) -> str:
    """Say what there is to know of a round; nothing if it was measured without an error."""
    words = ([] if each.status == "measured" else [each.status]) + ([each.reason] if each.reason else [])
    return f"round {number}: {', '.join(words)}" if words else ""
