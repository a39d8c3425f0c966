"""A deployment on virtual time, made of its spec: machines, servers, who asks, and what changes. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import cycle
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from sonic.framework.graph import Graph
from sonic.study.conditions.line import Conditions
from sonic.study.simulation.balancing import Balancer
from sonic.study.simulation.client import LocalFallback, Request, VirtualRouter, Way
from sonic.study.simulation.clock import Clock
from sonic.study.simulation.executors import Computing, OnCard
from sonic.study.simulation.job import Job, Step
from sonic.study.simulation.load import ClosedLoop, arrive
from sonic.study.simulation.network import Cable, Site
from sonic.study.simulation.observation import Observation, Total
from sonic.study.simulation.processor import Processor, Thread
from sonic.study.simulation.queueing import ModelQueue
from sonic.study.simulation.scaling import Scaler
from sonic.study.simulation.server import Server
from sonic.study.simulation.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sonic.study.records import ServerWindow
    from sonic.study.simulation.askerspec import ModuleSpec
    from sonic.study.simulation.executors import Executor
    from sonic.study.simulation.scaling import Scaling
    from sonic.study.simulation.serverspec import ServerSpec
    from sonic.study.simulation.spec import Spec

_LEAST_S = 1e-9
STEPS = 20
"""Parts in which the window passes, each with news of the progress."""


class Deployment:
    """One run of a spec.

    Parameters
    ----------
    spec : Spec
    seed : int

    Attributes
    ----------
    clock : Clock
    observed : Observation
    servers : list of Server
        That are there or start.
    history : list of (float, int, float)
        Of a deployment that scales: time, servers, and the metric in milliseconds.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        self.spec = spec
        self.clock = Clock()
        self.observed = Observation(self.clock, spec.warmup_s)
        self.servers: list[Server] = []
        self.history: list[tuple[float, int, float]] = []
        self._random = Random(seed)  # noqa: S311 - draws durations, keeps no secret
        self._settings = spec.client_settings()
        self._machine = Processor(self.clock, spec.client.cores or inf)
        self._queues: list[ModelQueue] = []
        self._accelerators: list[Processor] = []
        self._hosts: list[Processor] = []
        self._sites = [Site(each.network.conditions(), self._random) for each in spec.servers]
        for each, site in zip(spec.servers, self._sites, strict=True):
            for _ in range(each.count):
                self._deploy(each, site)
        self._balancer: Balancer | None = None
        if spec.balancer is not None:
            policy, notice_s = spec.balancer.policy, spec.balancer.notice_s
            self._balancer = Balancer(self.clock, list(self.servers), policy, self._random, notice_s=notice_s)
            if spec.scaling is not None:
                self.clock.process(self._scale(spec.scaling, self._balancer))
        self._graph = spec.jobs.graph() if spec.jobs is not None else Graph([])
        self._before: tuple[Total, float, float] | None = None
        self._ask()

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let the warm-up pass, and the window; `progress` is told now and then which part has passed."""
        whole_s = self.spec.warmup_s + self.spec.window_s
        self.clock.run(max(self.spec.warmup_s, _LEAST_S))
        self._before = self._counted()
        for step in range(1, STEPS + 1):
            at_s = self.spec.warmup_s + self.spec.window_s * step / STEPS
            self.clock.run(at_s)
            self.observed.cut()
            if progress is not None:
                progress(at_s / whole_s)

    def server_window(self) -> ServerWindow:
        """Return what the servers counted in the window."""
        assert self._before is not None  # noqa: S101 - after run()
        before, busy_s, cpu_s = self._before
        total, now_busy_s, now_cpu_s = self._counted()
        there = sum(each.cores for each in self._accelerators) * self.spec.window_s
        uses = (
            any(not model.threads and model.card is None for model in self.spec.models.values())
            and self.spec.scaling is None
        )
        return total.since(
            before,
            cpu_s=now_cpu_s - cpu_s or None,  # where nothing is said of it
            gpu_use=(now_busy_s - busy_s) / there if uses and there else None,
            by_size=len(self.spec.models) == 1,
        )

    def _counted(self) -> tuple[Total, float, float]:
        total = Total(queue.counts for queue in self._queues)
        busy_s = sum(each.busy_s for each in self._accelerators)
        return total, busy_s, sum(each.busy_s for each in self._hosts)

    # Servers

    def _deploy(self, spec: ServerSpec, site: Site) -> Server:
        host = self._machine if spec.with_clients else Processor(self.clock, spec.cores or inf)
        if not spec.with_clients:
            self._hosts.append(host)
        accelerator = Processor(self.clock, spec.accelerators)
        self._accelerators.append(accelerator)
        models = {}
        for name, model in self.spec.models.items():
            if spec.models and name not in spec.models:
                continue
            if (card := model.card_model()) is not None:
                executor: Executor = OnCard(self.clock, card)
            else:
                assert model.service is not None  # noqa: S101 - one of the two
                processor, threads = (host, model.threads) if model.threads else (accelerator, 1.0)
                executor = Computing(model.service, processor, self._random, threads=threads, speed=spec.speed)
            models[name] = ModelQueue(
                self.clock,
                model.policy(),
                executor,
                instances=model.instances if card is None else card.slots,
                wake_s=model.wake_s,
                handover_s=model.handover_s,
                turn_s=model.turn_s,
                short_s=(short_s := model.short_on_s(host.cores, spec.speed)),
                learns=model.learns,
            )
            if short_s and model.service is not None:
                models[name].know(1, model.service.mean_s(1) / spec.speed)
        self._queues += models.values()
        server = Server(
            self.clock, f"server-{len(self.servers)}", models, site, host, spec.overhead_s, spec.wake_s, spec.speed
        )
        self.servers.append(server)
        failures = spec.failures
        for at_s, for_s in failures.at:
            self.clock.process(self._out(server, at_s, for_s, hangs=failures.hangs))
        if failures.mtbf_s:
            self.clock.process(self._fail(server, failures.mtbf_s, failures.mttr_s, hangs=failures.hangs))
        return server

    def _out(self, server: Server, at_s: float, for_s: float, *, hangs: bool) -> Generator[Any, Any, None]:
        yield self.clock.sleep(at_s)
        server.fail(hangs=hangs)
        yield self.clock.sleep(for_s)
        server.come_back()

    def _fail(self, server: Server, mtbf_s: float, mttr_s: float, *, hangs: bool) -> Generator[Any, Any, None]:
        while True:
            yield self.clock.sleep(self._random.expovariate(1 / mtbf_s))
            server.fail(hangs=hangs)
            yield self.clock.sleep(self._random.expovariate(1 / mttr_s) if mttr_s else 0.0)
            server.come_back()

    def _scale(self, rule: Scaling, balancer: Balancer) -> Generator[Any, Any, None]:
        scaler, spec, site = Scaler(rule), self.spec.servers[0], self._sites[0]
        wanted = len(self.servers)
        starting: list[Server] = []

        def started(server: Server) -> None:
            if server in starting:
                starting.remove(server)
                balancer.servers.append(server)

        while True:
            yield self.clock.sleep(rule.poll_s)
            total = Total(queue.counts for queue in self._queues)
            metric_ms = scaler.metric_ms(self.clock.now_s(), total.queue_s, total.executions)
            wanted_before, wanted = wanted, scaler.target(self.clock.now_s(), wanted, metric_ms)
            self.history.append((self.clock.now_s(), wanted, metric_ms))
            for _ in range(wanted - wanted_before):
                starting.append(self._deploy(spec, site))
                self.clock.after(rule.start_s, partial(started, starting[-1]))
            for _ in range(wanted_before - wanted):
                (starting or balancer.servers).pop()  # what it has it finishes

    # Clients

    def _ask(self) -> None:
        spec = self.spec
        cable = spec.client.network.conditions()
        if spec.clients is not None:
            clients = spec.clients
            request = self._request(clients.model, clients.rows)
            threads = cycle([Thread(self._machine) for _ in range(clients.processes)])
            for count, from_s, until_s in ((clients.number, 0.0, inf), *clients.phases):
                for _ in range(count):
                    ClosedLoop(
                        self.clock,
                        self._router(Cable(self.clock, cable, self._random), next(threads)),
                        request,
                        self.observed.request,
                        self._random,
                        in_flight=clients.in_flight,
                        think_s=clients.think_s,
                        constant=clients.constant,
                        timeout_s=spec.client.timeout_s,
                        from_s=from_s,
                        until_s=until_s,
                    )
        elif spec.arrivals is not None:
            coming = spec.arrivals
            request = self._request(coming.model, coming.rows)
            router = self._router(Cable(self.clock, cable, self._random), Thread(self._machine))
            arrive(
                self.clock,
                router,
                request,
                self.observed.request,
                self._random,
                rate=coming.rate,
                constant=coming.constant,
                timeout_s=spec.client.timeout_s,
            )
        elif spec.jobs is not None:
            for _ in range(spec.jobs.number):
                at_s = self._random.uniform(0, spec.jobs.stagger_s)
                self.clock.after(at_s, self._begin_job)

    def _request(self, name: str, rows: int) -> Request:
        name, model = self.spec.model(name)
        n_bytes, answer_bytes = round(rows * model.row_bytes), round(rows * model.answer_row_bytes)
        return Request(name, {}, rows=rows, n_bytes=n_bytes, answer_bytes=answer_bytes)

    def _router(self, cable: Cable, thread: Thread, local: Processor | None = None, threads: int = 1) -> VirtualRouter:
        overhead_s = self.spec.client.overhead_s
        if self._balancer is not None:
            ways = [Way("sim:balancer", self._balancer, self._sites[0], cable, thread, overhead_s)]
        else:
            ways = [Way(f"sim:{s.name}", s, s.site, cable, thread, overhead_s) for s in self.servers]
        return VirtualRouter(
            self.clock, ways, self._settings, self._random, self._fallback(cable, thread, local, threads)
        )

    def _fallback(self, cable: Cable, thread: Thread, local: Processor | None, threads: int) -> LocalFallback | None:
        processor = local or self._machine
        models = {
            name: ModelQueue(
                self.clock,
                replace(model.policy(), max_rows=0),
                Computing(model.fallback, processor, self._random),
                instances=threads,
            )
            for name, model in self.spec.models.items()
            if model.fallback is not None
        }
        if not models:
            return None
        here = Site(Conditions(), self._random)
        server = Server(self.clock, "fallback", models, here, processor)
        return LocalFallback(Way("local:fallback", server, here, cable, thread))

    def _begin_job(self) -> None:
        jobs = self.spec.jobs
        assert jobs is not None  # noqa: S101 - else nobody calls
        processor = Processor(self.clock, jobs.threads)
        cable = Cable(self.clock, self.spec.client.network.conditions(), self._random)
        router = self._router(cable, Thread(processor), processor, jobs.threads)
        scale = jobs.chunk_events / jobs.speed
        Job(
            self.clock,
            self._graph,
            [self._step(module, scale) for module in jobs.modules],
            router,
            processor,
            self.observed,
            threads=jobs.threads,
            streams=jobs.streams or jobs.threads,
            read_s=jobs.read_s * scale,
            write_s=jobs.write_s * scale,
            timeout_s=self.spec.client.timeout_s,
        )

    def _step(self, module: ModuleSpec, scale: float) -> Step:
        jobs = self.spec.jobs
        assert jobs is not None  # noqa: S101 - as above
        offloaded = bool(module.model) and jobs.mode == "service"
        mean_s = (module.acquire_s if offloaded else module.cpu_s) * scale
        work_s: Callable[[], float] = float  # which is 0
        if mean_s:
            work_s = partial(Service(execution_s=mean_s, scatter=module.scatter).draw_s, 1, self._random)
        if not offloaded:
            return Step(module.name, work_s)
        request = self._request(module.model, jobs.request_rows(module))
        return Step(module.name, work_s, request, module.requests, module.produce_s * scale, module.mode)
