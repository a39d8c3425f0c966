"""Everything of one run: which servers are started, and what is measured of each."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.server import floor, marks, measure, wire
from benchmarks.server.other_servers import PEERS, peer_server
from benchmarks.server.processes import COMPILED_FOLDER, sonic_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np

    from benchmarks.server.cases import Case
    from benchmarks.server.processes import Target

_TWO_CORES_CLIENTS = (16,)


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Parameters
    ----------
    cases : sequence of Case
    transports : sequence of str
        Ways to a server, of those in :data:`wire.TRANSPORTS`.
    clients : sequence of int
        Empty: each case's own.
    servers : sequence of str
        Of :data:`marks.OURS`, and names of peers.
    two_cores : bool
        Whether Sonic is measured on two cores as well, where the case says so, over the network.
    repeats : int
    seconds : float
        Length of a measurement.
    cores : sequence of int
        Of this machine, two or more. The server has the first, the load generator the last.
    """

    cases: Sequence[Case]
    transports: Sequence[str]
    clients: Sequence[int]
    servers: Sequence[str]
    two_cores: bool
    repeats: int
    seconds: float
    cores: Sequence[int]

    @property
    def shares_core(self) -> bool:
        """Whether a server of two cores shares one with the load generator."""
        return len(self.cores) < 3


class Campaign:
    """Measures what a plan says. Repeats are outermost, so that a machine that drifts drifts for all alike.

    Parameters
    ----------
    plan : Plan
    folder : path
        An empty one, for models and messages.
    say : callable
        Called with a line for whoever waits.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._repository = folder / "models"
        self._models = {case.name: case.write(self._repository) for case in plan.cases}
        self._outputs = {case.name: floor.right_outputs(case, self._models[case.name]) for case in plan.cases}
        self.floors: dict[str, list[measure.Sample]] = {case.name: [] for case in plan.cases}
        self.points: dict[tuple[str, str, str, int], measure.Point] = {}
        self.failures: list[str] = []
        """Servers that could not be started, with the reason."""

    def run(self) -> None:
        """Measure everything."""
        for repeat in range(1, self._plan.repeats + 1):
            progress = f"repeat {repeat} of {self._plan.repeats}"
            for case in self._plan.cases:
                self._say(f"{progress}: {case.name} in process")
                alone = floor.run(case, self._models[case.name], self._plan.seconds, self._plan.cores[:1])
                self.floors[case.name].append(measure.Sample(*alone))
            for server in self._plan.servers:
                self._measure_server(server, progress)

    def _measure_server(self, server: str, progress: str) -> None:
        if server in PEERS:
            peer = PEERS[server]
            cases = [case for case in self._plan.cases if peer.batches or not case.about_merging]
            started = peer_server(peer, cases, self._models, self._plan.cores[:1], self._folder)
            self._measure_cases(started, cases, self._plan.transports, self._plan.clients, f"{progress}: {server}")
            return
        installed = COMPILED_FOLDER if server == marks.COMPILED else None
        started = sonic_server(server, self._repository, self._plan.cores[:1], installed)
        self._measure_cases(
            started, self._plan.cases, self._plan.transports, self._plan.clients, f"{progress}: {server}"
        )
        scaling = [case for case in self._plan.cases if case.computes]
        if self._plan.two_cores and scaling:
            name = marks.two_cores(server)
            network = [transport for transport in self._plan.transports if transport in marks.NETWORK]
            started = sonic_server(name, self._repository, self._plan.cores[:2], installed)
            self._measure_cases(started, scaling, network, _TWO_CORES_CLIENTS, f"{progress}: {name}")

    def _measure_cases(
        self,
        started: AbstractContextManager[Target],
        cases: Iterable[Case],
        transports: Sequence[str],
        clients: Sequence[int],
        progress: str,
    ) -> None:
        with ExitStack() as stack:
            try:
                target = stack.enter_context(started)
            except RuntimeError as error:
                self.failures.append(f"{progress}: {error}")
                return
            for case in cases:
                self._say(f"{progress}: {case.name}")
                try:
                    self._measure_case(case, target, transports, clients or case.clients)
                except RuntimeError as error:
                    self.failures.append(f"{progress}: {case.name}: {error}")

    def _measure_case(self, case: Case, target: Target, transports: Sequence[str], clients: Sequence[int]) -> None:
        outputs = self._outputs[case.name]
        ways = [wire.TRANSPORTS[name] for name in transports if wire.TRANSPORTS[name].reaches(target)]
        with ExitStack() as stack:
            shm = any(way.shm for way in ways)
            region = stack.enter_context(wire.region(case, target, outputs)) if shm else None
            for way in ways:
                shared = region if way.shm else None
                request = wire.write(case, way, target, self._folder, shared)
                if way is ways[0]:
                    measure.meet(request, target, clients=max(clients), cores=self._plan.cores[-1:])
                for number in clients:
                    self._measure_point((target.name, case.name, way.name, number), request, target, outputs, shared)

    def _measure_point(
        self,
        key: tuple[str, str, str, int],
        request: wire.Request,
        target: Target,
        outputs: dict[str, np.ndarray],
        shared: wire.Region | None,
    ) -> None:
        point = self.points.get(key) or measure.Point(*key)
        try:
            taken = measure.sample(
                request,
                target,
                outputs,
                shared,
                clients=key[-1],
                seconds=self._plan.seconds,
                cores=self._plan.cores[-1:],
            )
        except RuntimeError as error:
            self.points[key] = measure.Point(*key, point.samples, str(error))
        else:
            self.points[key] = measure.Point(*key, (*point.samples, taken), point.error)
