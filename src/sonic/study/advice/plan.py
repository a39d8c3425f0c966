"""How many servers of which kind so many jobs need, what that gains, and what it costs. Pure.

A model is offloaded where that is cheaper: the cores that its jobs save against the part of a server that it takes, and
against whole servers, spare ones and the network's among them; or, where throughput is the goal, wherever it saves the
jobs anything. Capacities are planned with up to the site's ``use``,
since near saturation queues grow without bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sonic.study.advice.job import Job, Offload
    from sonic.study.advice.offers import Offer
    from sonic.study.advice.site import Site

_EVENTS = 1_000_000
"""Costs are of so many."""
_HOUR_S = 3600.0
_LINE_USE = 0.7
"""Part of a line's bandwidth that is planned with."""


@dataclass(frozen=True)
class ModelPlan:
    """What becomes of one model.

    Parameters
    ----------
    model : str
    modules : tuple of str
        Of the workflow, that ask it.
    offload : bool
    offer : Offer or None
        The cheapest way to serve it; None if there is none.
    saved_s : float
        Of one core, for an event.
    rows_per_event : float
    bytes_per_event : float
        Both ways.
    cores_cost, server_cost : float
        For a million events: of the cores that it saves, and of the part of servers that it takes.
    """

    model: str
    modules: tuple[str, ...]
    offload: bool
    offer: Offer | None
    saved_s: float
    rows_per_event: float
    bytes_per_event: float
    cores_cost: float
    server_cost: float

    def break_even(self, hour: float) -> float:
        """Return what an hour of a server may cost for it to pay, if it costs `hour` now."""
        return hour * self.cores_cost / self.server_cost if self.server_cost else float("inf")


@dataclass(frozen=True)
class Fleet:
    """Servers of one kind.

    Parameters
    ----------
    kind : str
    servers : int
        The spare ones included.
    shares : mapping of str to float
        Servers that each model fills, at the whole of their capacity.
    together : bool
        Whether every server has all models; else each has one.
    network_gbps : float
        That flows to and from all of them, in 10^9 bits/s.
    limited_by : str
        ``compute`` or ``network``.
    """

    kind: str
    servers: int
    shares: Mapping[str, float]
    together: bool
    network_gbps: float
    limited_by: str


@dataclass(frozen=True)
class Plan:
    """A deployment.

    Parameters
    ----------
    job : Job
    site : Site
    goal : {"cost", "throughput"}
    jobs, threads : int
        Jobs, and threads of each.
    models : tuple of ModelPlan
    fleets : tuple of Fleet
    streams : int
        Of each job, so that its threads have work while chunks wait.
    events_per_s, events_per_s_before : float
        Of all jobs together, with everything in the job and as planned.
    cost, cost_before : float
        For a million events.
    """

    job: Job
    site: Site
    goal: str
    jobs: int
    threads: int
    models: tuple[ModelPlan, ...]
    fleets: tuple[Fleet, ...]
    streams: int
    events_per_s: float
    events_per_s_before: float
    cost: float
    cost_before: float

    @property
    def gain(self) -> float:
        """Part by which the same cores do more: 0.1 is 10 %."""
        return self.events_per_s / self.events_per_s_before - 1

    @property
    def network_gbps(self) -> float:
        """Between jobs and all servers."""
        return sum(fleet.network_gbps for fleet in self.fleets)


def plan(job: Job, offers: Sequence[Offer], site: Site, *, jobs: int, threads: int = 1, goal: str = "cost") -> Plan:
    """Plan a deployment.

    Parameters
    ----------
    job : Job
    offers : sequence of Offer
        Of the models, on kinds of servers that the site has.
    site : Site
    jobs, threads : int
        Jobs that run at once, and threads of each.
    goal : {"cost", "throughput"}
        What decides whether a model is offloaded.

    Raises
    ------
    ConfigError
        If jobs or threads are less than 1, the goal is none, or nothing of an event is left to the job.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"{name} is 1 or more, given {value}")
    if goal not in ("cost", "throughput"):
        raise ConfigError(f"goal {goal!r}: expected cost or throughput")
    models = tuple(_model(group, offers, site, goal) for group in _groups(job))
    made = _deployed(job, models, site, goal, jobs, threads)
    while goal == "cost" and made.fleets:
        best = min((_deployed(job, fewer, site, goal, jobs, threads) for fewer in _fewer(made)), key=lambda p: p.cost)
        if best.cost >= made.cost:
            break
        made = best
    return made


def _fewer(made: Plan) -> Iterator[tuple[ModelPlan, ...]]:
    """Yield what becomes of the models if one that is offloaded, or all on a kind of server, stay in the job."""
    offloaded = [{model.model} for model in made.models if model.offload]
    for left in [*offloaded, *(set(fleet.shares) for fleet in made.fleets)]:
        yield tuple(replace(model, offload=False) if model.model in left else model for model in made.models)


def _deployed(job: Job, models: tuple[ModelPlan, ...], site: Site, goal: str, jobs: int, threads: int) -> Plan:
    """Count servers, and what all costs."""
    taken = [model for model in models if model.offload]
    event_s = job.event_s - sum(model.saved_s for model in taken)
    if not event_s > 0:
        raise ConfigError("nothing of an event is left to the job: say what its requests leave to it (--service)")
    rate = jobs * threads / event_s
    fleets = tuple(
        _fleet(kind, [model for model in taken if model.offer is not None and model.offer.kind == kind], rate, site)
        for kind in dict.fromkeys(model.offer.kind for model in taken if model.offer is not None)
    )
    servers_cost = sum(fleet.servers * site.servers[fleet.kind].hour for fleet in fleets)
    return Plan(
        job,
        site,
        goal,
        jobs,
        threads,
        models,
        fleets,
        _streams(job, taken, event_s, site, threads),
        rate,
        jobs * threads / job.event_s,
        _core_cost(event_s, site) + servers_cost / _HOUR_S * _EVENTS / rate,
        _core_cost(job.event_s, site),
    )


def _groups(job: Job) -> list[list[Offload]]:
    groups: dict[str, list[Offload]] = {}
    for offload in job.offloads:
        groups.setdefault(offload.model, []).append(offload)
    return list(groups.values())


def _model(offloads: list[Offload], offers: Sequence[Offer], site: Site, goal: str) -> ModelPlan:
    model = offloads[0].model
    rows = sum(offload.rows for offload in offloads)
    saved_s = sum(offload.saved_s for offload in offloads)

    def cost(offer: Offer) -> float:
        """Of the part of a server that a million events take."""
        return site.servers[offer.kind].hour * _EVENTS * rows / (offer.rows_per_s * site.use) / _HOUR_S

    there = [offer for offer in offers if offer.model == model and offer.kind in site.servers]
    best = min(there, key=cost, default=None)
    cores_cost = _core_cost(saved_s, site)
    server_cost = 0.0 if best is None else cost(best)
    return ModelPlan(
        model,
        tuple(offload.module for offload in offloads),
        best is not None and rows > 0 and saved_s > 0 and (goal == "throughput" or server_cost < cores_cost),
        best,
        saved_s,
        rows,
        sum(offload.bytes_sent + offload.bytes_received for offload in offloads),
        cores_cost,
        server_cost,
    )


def _core_cost(core_s: float, site: Site) -> float:
    return core_s * _EVENTS / _HOUR_S * site.core_hour


def _fleet(kind: str, models: Sequence[ModelPlan], rate: float, site: Site) -> Fleet:
    shares = {
        model.model: rate * model.rows_per_event / model.offer.rows_per_s for model in models if model.offer is not None
    }
    together = ceil(sum(shares.values()) / site.use)
    apart = sum(ceil(share / site.use) for share in shares.values())
    gbps = rate * sum(model.bytes_per_event for model in models) * 8 / 1e9
    lines = ceil(gbps / (_LINE_USE * site.servers[kind].network_gbps))
    # One model a server keeps its caches warm and its queue apart, if it costs no server.
    return Fleet(
        kind,
        max(together, lines) + site.spare,
        shares,
        together < apart,
        gbps,
        "network" if lines > together else "compute",
    )


def _streams(job: Job, models: Sequence[ModelPlan], event_s: float, site: Site, threads: int) -> int:
    waits_s = sum(
        ((model.offer.busy_latency_s or 0.0) if model.offer else 0.0) + site.round_trip_ms / 1000 for model in models
    )
    return threads + ceil(threads * waits_s / (event_s * job.chunk_size))
