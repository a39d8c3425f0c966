"""A scan: round by round and point by point, each recorded as soon as it is there, whatever becomes of the others."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from sonic.errors import SonicError, one_line
from sonic.study import storage
from sonic.study.conditions.netem import namespace
from sonic.study.machine import this_machine, utc_now
from sonic.study.records import Record
from sonic.study.scan.deployment import Elsewhere, OwnServer
from sonic.study.scan.plan import estimated_s, identity, identity_of, plan
from sonic.study.scan.rounds import is_whole, joined
from sonic.study.scan.settings import conditions_of
from sonic.study.scan.spec import server_of
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence
    from pathlib import Path

    from sonic.study.records import Status
    from sonic.study.scan.deployment import Deployment, Place
    from sonic.study.scan.plan import Plan, Visit
    from sonic.study.scan.spec import Point, Spec

_RECENT = 12
"""Measurements whose mean says how long the rest takes."""


class Measurement(Protocol):
    """What measures one point."""

    def __call__(self, point: Point, spec: Spec, place: Place) -> Record:
        """Measure.

        Raises
        ------
        SonicError
            If it cannot be measured at all.
        """


@dataclass(frozen=True)
class Standing:
    """How a scan stands.

    Parameters
    ----------
    done, total : int
        Measurements, each of a point in a round; those of earlier runs, and those that are no longer needed, included.
    left_s : float
        Guessed.
    visit : Visit or None
        That is made now; None at the end.
    record : Record or None
        That has just been made, of this round alone.
    """

    done: int
    total: int
    left_s: float
    visit: Visit | None = None
    record: Record | None = None


@dataclass
class Summary:
    """What came of a scan.

    Parameters
    ----------
    records : list of Record
        Of all of its points of which there are records, in their order.
    interrupted : bool
        Whether it ended before its end.
    missing : int
        Measurements that are left then.
    """

    records: list[Record] = field(default_factory=list)
    interrupted: bool = False
    missing: int = 0


def versions() -> dict[str, str]:
    """Return the versions of what measures here, and of what its own servers compute with."""
    import onnxruntime  # whose distribution has several names

    return {"sonic": __version__, "python": sys.version.split()[0], "onnxruntime": onnxruntime.__version__}


def prepare(spec: Spec, path: Path, again: Collection[str] = frozenset()) -> Plan:
    """Compare a scan with the file of its records.

    Raises
    ------
    DataError
        If the file is there, and cannot be read.
    """
    return plan(spec, storage.read(path) if path.exists() else [], versions(), again)


def scan(
    spec: Spec,
    path: Path,
    *,
    base: Path,
    again: Collection[str] = frozenset(),
    measure: Measurement,
    deploy: Callable[[Point], Deployment] | None = None,
    progress: Callable[[Standing], None] | None = None,
) -> Summary:
    """Measure all points of a specification of which there is no record yet, or one that lacks rounds.

    A point that fails is recorded with the reason, and has no further round; the rest goes on, on a new server. Ctrl-C
    ends the scan, after a record of that of a point that has no other.

    Parameters
    ----------
    spec : Spec
    path : Path
        Of the records, JSON lines or Parquet. Those that are there stay, but for those of points that are measured
        again, and for interrupted ones.
    base : Path
        What folders in the specification are relative to.
    again : collection of str
        Statuses; see :func:`sonic.study.scan.plan.plan`.
    measure : Measurement
    deploy : callable, optional
        Makes the server that a point wants; by default one of the scan's own, or the specification's.
    progress : callable, optional

    Raises
    ------
    SonicError
        If the records cannot be read or written, or the kernel's network emulation is wanted and cannot be had.
    """
    todo = prepare(spec, path, again)
    emulated = [point for point in todo.points if point.settings.get("conditions") == "netem"]
    if emulated:
        with namespace(conditions_of(emulated[0].settings)):
            pass  # what it lacks is said now
    file = _File(path, todo.kept)
    records = {identity_of(record): record for record in todo.records}
    left, pace, interrupted = list(todo.visits), _Pace(spec), False

    def tell(visit: Visit | None, record: Record | None = None) -> None:
        if progress is not None:
            total = len(spec.points) * spec.rounds
            progress(Standing(total - len(left), total, pace.left_s(left), visit, record))

    with _Servers(spec, base, deploy) as servers:
        while left:
            visit = left[0]
            tell(visit)
            latest = _measured(visit.point, spec, servers, measure)
            if latest.status == "interrupted":
                file.note(latest)
                interrupted = True
                break
            key = identity_of(latest)
            records[key] = joined(records[key], latest) if key in records else latest
            file.add(records[key])
            pace.ended(left)
            whole = is_whole(records[key], spec.rounds)
            left = [each for each in left[1:] if not (whole and each.point is visit.point)]
            tell(visit, latest)
    tell(None)
    order = [identity(point.target, point.settings, spec.server) for point in spec.points]
    return Summary([records[key] for key in order if key in records], interrupted, len(left))


def _measured(point: Point, spec: Spec, servers: _Servers, measure: Measurement) -> Record:
    """Measure a point; whatever goes wrong becomes a record of it."""
    started = utc_now()

    def ended(status: Status, reason: str) -> Record:
        return Record(
            target=point.target,
            settings=point.settings,
            status=status,
            reason=reason,
            started=started,
            machine=this_machine(),
            versions=versions(),
        )

    try:
        server = servers.of(point)
        with server.place(point) as place:
            record = measure(point, spec, place)
        if record.status == "failed":
            record = msgspec.structs.replace(record, reason=_with(record.reason, servers.discard()))
    except SonicError as error:
        record = ended("failed", _with(one_line(error), servers.discard()))
    except KeyboardInterrupt as interrupt:
        record = ended("interrupted", f"by {str(interrupt) or 'Ctrl-C'}")
    where = {} if spec.server is None else {"server": spec.server}
    return msgspec.structs.replace(
        record,
        target=point.target,  # a workflow in a file has a name of its own
        settings=record.settings | point.settings | where,
        versions=versions() | record.versions,
    )


def _with(reason: str, obituary: str) -> str:
    return f"{reason}; {obituary}" if obituary and obituary not in reason else reason


class _Servers:
    """The one server that is up, exchanged for another when a point wants that. Context manager."""

    def __init__(self, spec: Spec, base: Path, deploy: Callable[[Point], Deployment] | None) -> None:
        url, metrics = spec.server, spec.metrics

        def usual(point: Point) -> Deployment:
            return Elsewhere(url, metrics) if url else OwnServer(point, base)

        self._deploy = deploy or usual
        self._stack = ExitStack()
        self._server: Deployment | None = None
        self._key: Hashable = None

    def __enter__(self) -> _Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def of(self, point: Point) -> Deployment:
        """Return the server for a point: the one that is up, if it is such a one, and lives."""
        key = server_of(point)
        if self._server is None or key != self._key or self._server.obituary():
            self._close()
            self._server, self._key = self._stack.enter_context(self._deploy(point)), key
        return self._server

    def discard(self) -> str:
        """Give up a server on which a point failed, lest the next one do; return what became of it."""
        said = "" if self._server is None else self._server.obituary()
        self._close()
        return said

    def _close(self) -> None:
        self._server = None
        self._stack.close()


class _File:
    """The records on disk, which are whole whenever this ends."""

    def __init__(self, path: Path, kept: Sequence[Record]) -> None:
        self._path = path
        self._records = list(kept)
        with suppress(OSError):  # which the next line says
            path.parent.mkdir(parents=True, exist_ok=True)
        storage.ready(path, adding=path.suffix != ".parquet")
        if kept:
            storage.write(kept, path)  # without those that were interrupted

    def note(self, record: Record) -> None:
        """Add one, unless there is one of the same point."""
        if all(identity_of(each) != identity_of(record) for each in self._records):
            self.add(record)

    def add(self, record: Record) -> None:
        """Add one, in place of an earlier one of the same point."""
        mine, there = identity_of(record), len(self._records)
        at = next((number for number, each in enumerate(self._records) if identity_of(each) == mine), there)
        self._records = [each for each in self._records if identity_of(each) != mine]
        self._records.insert(at, record)
        if at == there and self._path.suffix != ".parquet":
            storage.append(record, self._path)
        else:
            storage.write(self._records, self._path)


class _Pace:
    """How long the rest takes: as guessed, corrected by how right the guess was for the last points."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._since_s = time.monotonic()
        self._took: deque[tuple[float, float]] = deque(maxlen=_RECENT)

    def ended(self, left: Sequence[Visit]) -> None:
        """Note that the first of the visits that were left has been made."""
        now_s = time.monotonic()
        # Beside the next point alone: it says whether there is another server then, and those after it cancel out.
        guessed_s = self._guessed_s(left[:2]) - self._guessed_s(left[1:2])
        self._took.append((now_s - self._since_s, guessed_s))
        self._since_s = now_s

    def left_s(self, left: Sequence[Visit]) -> float:
        """Guess how long the rest takes."""
        factor = sum(took for took, _ in self._took) / sum(guess for _, guess in self._took) if self._took else 1.0
        return factor * self._guessed_s(left)

    def _guessed_s(self, visits: Sequence[Visit]) -> float:
        return estimated_s([visit.point for visit in visits], self._spec)
