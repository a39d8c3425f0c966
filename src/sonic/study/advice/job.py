"""What one job asks of its models, as its reports say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from sonic.errors import DataError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Offload:
    """A module whose model could run elsewhere. All figures are means of an event.

    Parameters
    ----------
    module, model : str
    cpu_s : float
        Of the module with its model in the job, on one core.
    host_s : float
        Of the module in the job while its model is elsewhere: making the input, reading the output, sending.
    rows : float
    bytes_sent, bytes_received : float
    """

    module: str
    model: str
    cpu_s: float
    host_s: float
    rows: float
    bytes_sent: float
    bytes_received: float

    @property
    def saved_s(self) -> float:
        """What an event is cheaper for the job if the model is elsewhere."""
        return self.cpu_s - self.host_s


@dataclass(frozen=True)
class Job:
    """One job.

    Parameters
    ----------
    workflow : str
    event_s : float
        Of one core, for an event with everything in the job.
    chunk_size : float
        Events that go together.
    offloads : tuple of Offload
    host_known : bool
        Whether a report of the job as a client said what is left to it; else nothing is taken to be.
    """

    workflow: str
    event_s: float
    chunk_size: float
    offloads: tuple[Offload, ...]
    host_known: bool = True


def from_reports(
    direct: Mapping[str, Any], service: Mapping[str, Any] | None = None, *, event_s: float | None = None
) -> Job:
    """Read two reports of one workflow over the same events (``sonic run --report``).

    Parameters
    ----------
    direct : mapping
        Of ``--mode direct``.
    service : mapping, optional
        Of the same job with a server.
    event_s : float, optional
        What an event takes in the whole job on one core, where the workflow is a part of it.

    Raises
    ------
    DataError
        If they are no such reports, or of different workflows.
    """
    try:
        return _job(direct, service, event_s)
    except KeyError as error:
        raise DataError(f"no report of a job: it lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"no report of a job: {one_line(error)}") from error


def _job(direct: Mapping[str, Any], service: Mapping[str, Any] | None, event_s: float | None) -> Job:
    ours = _modules(direct, "direct")
    theirs = None if service is None else _modules(service, "service")
    if service is not None and service["workflow"] != direct["workflow"]:
        raise DataError(f"one report is of {direct['workflow']!r}, the other of {service['workflow']!r}")
    events = float(direct["events"])
    offloads = tuple(_offload(module, events, theirs, service) for module in ours if module["offload"] is not None)
    if not offloads:
        raise DataError(f"workflow {direct['workflow']!r} offloads nothing")
    if event_s is not None and not event_s >= sum(offload.cpu_s for offload in offloads):
        raise DataError(f"an event takes {event_s} s in all, and more in its models alone")
    whole_s = sum(float(module["cpu_s"]) for module in ours) / events if event_s is None else event_s
    if not 0 < whole_s < inf:
        raise DataError(f"an event takes {whole_s:g} s, expected more than nothing, and an end")
    return Job(str(direct["workflow"]), whole_s, float(direct["chunk_size"]), offloads, host_known=service is not None)


def _modules(report: Mapping[str, Any], mode: str) -> Sequence[Mapping[str, Any]]:
    if report["mode"] != mode:
        raise DataError(f"expected the report of a job in mode {mode!r}, given one in {report['mode']!r}")
    if not float(report["events"]) > 0:
        raise DataError("a report of a job without events says nothing of one")
    return report["modules"]  # type: ignore[no-any-return]


def _offload(
    module: Mapping[str, Any],
    events: float,
    theirs: Sequence[Mapping[str, Any]] | None,
    service: Mapping[str, Any] | None,
) -> Offload:
    sent = module["offload"]
    host_s = 0.0
    if theirs is not None and service is not None:
        same = [each for each in theirs if each["name"] == module["name"]]
        if not same:
            raise DataError(f"module {module['name']!r} is in one report alone")
        host_s = min(float(same[0]["cpu_s"]) / float(service["events"]), float(module["cpu_s"]) / events)
    return Offload(
        str(module["name"]),
        str(sent["model"]),
        float(module["cpu_s"]) / events,
        host_s,
        sent["rows"] / events,
        sent["bytes_sent"] / events,
        sent["bytes_received"] / events,
    )
