"""From the files of a job and of scans to a plan, and to a document of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from sonic.errors import ConfigError, DataError, one_line
from sonic.study import storage
from sonic.study.advice import job as jobs_of
from sonic.study.advice import site as sites
from sonic.study.advice.offers import offers, stated
from sonic.study.advice.plan import plan
from sonic.study.advice.reasons import reasons
from sonic.study.series import usable
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sonic.study.advice.plan import Plan
    from sonic.study.advice.reasons import Advice


def plan_from_files(
    direct: Path,
    scans: Sequence[Path],
    *,
    service: Path | None = None,
    site: Path | None = None,
    jobs: int,
    threads: int = 1,
    goal: str = "cost",
    event_s: float | None = None,
    left_out: Callable[[str], object] | None = None,
) -> tuple[Plan, list[Advice]]:
    """Plan a deployment.

    Parameters
    ----------
    direct, service : path
        Reports of a job, see :func:`sonic.study.advice.job.from_reports`.
    scans : sequence of path
        Records of its models.
    site : path, optional
        See :class:`sonic.study.advice.site.Site`; else the servers are the machines of the scans.
    jobs, threads, goal
        See :func:`sonic.study.advice.plan.plan`.
    event_s : float, optional
        Of one core for an event in the whole job.
    left_out : callable, optional
        Called with a line on each record that was not measured to its end.

    Raises
    ------
    ConfigError, DataError
        If a file cannot be read or the figures make no sense, nothing says what a server can do, or a record is of a
        server that is not named.
    """
    reports = _report(direct), None if service is None else _report(service)
    try:
        job = jobs_of.from_reports(*reports, event_s=event_s)
    except DataError as error:
        raise DataError(f"{' and '.join(str(path) for path in (direct, service) if path)}: {error}") from error
    read = [record for path in scans for record in storage.read(path)]
    records, lines = usable(read)
    for line in lines:
        if left_out is not None:
            left_out(line)
    given = sites.read(site) if site is not None else None
    where = given if given is not None and given.servers else sites.of_machines(records, given)
    found = sorted([*offers(records), *stated(where)], key=lambda offer: -offer.rows_per_s)
    if not found:
        none = f"none of {len(read)} records was measured to its end" if lines and not records else ""
        said = none or "nothing says what a server can do"
        raise ConfigError(f"{said}: give scans of the models, or rates in the site's file")
    models, known = ({each.model for each in group} for group in (job.offloads, found))
    if not models & known:
        raise ConfigError(f"no measurement of {_listed(models)}, which {job.workflow} asks: there is {_listed(known)}")
    made = plan(job, found, where, jobs=jobs, threads=threads, goal=goal)
    return made, reasons(made, found)


def to_json(made: Plan, said: Sequence[Advice]) -> bytes:
    """Write a plan, with its reasons, as a document."""
    document = asdict(made) | {
        "gain": made.gain,
        "network_gbps": made.network_gbps,
        "advice": [asdict(advice) for advice in said],
        "versions": {"sonic": __version__},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _report(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read the report {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no report: {one_line(error)}") from error
