"""The same path run in different ways, one after the other, so that their times can be set beside each other."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from sonic.client.model import Client
from sonic.framework.job import run
from sonic.workloads.hlt.local import FACILE, FIT, LARGE
from sonic.workloads.hlt.workflow import workflow

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from sonic.framework.models import Caller
    from sonic.framework.offload import Callee
    from sonic.framework.report import Report


class Way(NamedTuple):
    """How the path is run.

    Attributes
    ----------
    hcal : str
        As of :func:`sonic.workloads.hlt.workflow.workflow`.
    served : tuple of str
        Models that are called on a server; the others run in the job.
    """

    hcal: str
    served: tuple[str, ...] = ()


WAYS: Mapping[str, Way] = {
    "pulse fit in the job": Way(FIT),
    "FACILE in the job": Way(FACILE),
    "FACILE as a service": Way(FACILE, (FACILE,)),
    "all models as a service": Way(FACILE, (FACILE, "track_fit", "particlenet-ak4")),
    "FACILE v2 in the job": Way(LARGE),
    "FACILE v2 as a service": Way(LARGE, (LARGE,)),
}


class Routed:
    """Gives a job some of its models from one client and the others from another.

    Parameters
    ----------
    served : tuple of str
        Names of the models of the first.
    remote, local : Caller
    """

    def __init__(self, served: tuple[str, ...], remote: Caller, local: Caller) -> None:
        self._served, self._remote, self._local = served, remote, local

    def model(self, name: str, version: str = "", outputs: Sequence[str] = (), request_rows: int = 0) -> Callee:
        """Return a model of the client that has it."""
        caller = self._remote if name in self._served else self._local
        return caller.model(name, version, outputs, request_rows)


def run_ways(
    file: str | os.PathLike[str],
    server: str,
    ways: Mapping[str, Way] = WAYS,
    *,
    repeat: int = 1,
    streams: int = 4,
    chunk_size: int | None = None,
) -> dict[str, Report]:
    """Run the path over the same events in each way, with one thread.

    Parameters
    ----------
    file : path
        Events of :func:`sonic.workloads.hlt.sample.generate`.
    server : str
        URL of a server that has the models.
    ways : mapping of str to Way
        By name.
    repeat : int
        How often the events are read.
    streams : int
        Chunks in flight.
    chunk_size : int, optional
        Events in one; as the workflow says.

    Returns
    -------
    dict of Report
        By the way's name.
    """
    reports = {}
    for name, way in ways.items():
        job = workflow(hcal=way.hcal)
        with ExitStack() as stack:
            local = stack.enter_context(Client([f"local:{job.models}?cores=1"], fallback=False))
            remote = stack.enter_context(Client([server], fallback=False))
            routed = Routed(way.served, remote, local)
            for module in job.offloads():  # so that connecting and loading are in no time
                _ = routed.model(module.model).spec
            reports[name] = run(
                job,
                [file],
                client=routed,
                threads=1,
                streams=streams,
                chunk_size=chunk_size,
                repeat=repeat,
            )
    return reports
