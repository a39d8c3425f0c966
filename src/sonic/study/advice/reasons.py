"""Why a plan is as it is: each choice with its reason and the figure that it rests on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.study.advice.offers import gain_of
from sonic.study.records import digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sonic.study.advice.offers import Offer
    from sonic.study.advice.plan import Fleet, ModelPlan, Plan

_SATURATED = 0.3
"""Part of its time at the server that a request waits, from which on the server is taken to be saturated."""
_ALIKE = 1.05
_TOGETHER = 1.5
"""Executions with so many times the rows of a request are said to have several requests."""


@dataclass(frozen=True)
class Advice:
    """One sentence of a plan.

    Parameters
    ----------
    subject : str
        A model, a kind of server, or what else it is about.
    choice : str
        What to do.
    reason : str
        Why, with its figure.
    """

    subject: str
    choice: str
    reason: str


def reasons(plan: Plan, offers: Sequence[Offer]) -> list[Advice]:
    """Say why.

    Parameters
    ----------
    plan : Plan
    offers : sequence of Offer
        Those that it was made from.
    """
    found: list[Advice] = []
    for model in plan.models:
        found += _model(plan, model, offers)
    for fleet in plan.fleets:
        found += _fleet(plan, fleet)
    return [*found, *_jobs(plan)]


def _model(plan: Plan, model: ModelPlan, offers: Sequence[Offer]) -> Iterator[Advice]:
    name, offer, money = model.model, model.offer, plan.site.currency
    if not model.rows_per_event:
        yield Advice(name, "leave it in the job", "these events asked nothing of it: give reports over some that do")
        return
    part = model.saved_s / plan.job.event_s
    too_dear = plan.goal == "cost" and not model.offload and model.saved_s > 0 and model.server_cost < model.cores_cost
    if offer is None:
        kinds = list(dict.fromkeys(each.kind for each in offers if each.model == name))
        where = ", ".join(f'[servers."{kind}"]' for kind in kinds)
        unpriced = f"it was measured on servers without a price: give the site's file {where}"
        yield Advice(name, "leave it in the job", unpriced if kinds else "no server was measured with it")
        return
    yield Advice(
        name,
        f"offload it to {offer.kind}" if model.offload else "leave it in the job",
        f"it takes {part:.1%} of the job, {digits(model.cores_cost)} {money} of cores for a million events, or "
        f"{digits(model.server_cost)} of {offer.kind} with {offer.rows_per_s:,.0f} rows/s: worth it below "
        f"{digits(model.break_even(plan.site.servers[offer.kind].hour), 2)} {money} an hour"
        + "; but whole servers, with spare ones and their network, cost these jobs more"
        * too_dear,
    )
    if not model.offload:
        return
    for setting in sorted(offer.settings):
        gain = gain_of(setting, offers, offer)
        if gain is None:
            continue
        value, other, times = gain
        worth = f"{times:.2f} times the rows/s of {other}" if times > _ALIKE else f"no slower than {other}"
        yield Advice(name, f"{setting} = {value}", worth)
    yield from _batches(plan, model, offer)
    if not offer.measured:
        yield Advice(
            name, "measure it", "its rate is " + ("simulated" if offer.simulated else "what the site's file says")
        )
    elif offer.random:
        yield Advice(
            name,
            "confirm with requests of real jobs (`sonic run --record`, `sonic study replay`)",
            "it was measured with random input, which has other shapes and finds other branches",
        )
    if offer.queue_part is not None and offer.queue_part < _SATURATED:
        yield Advice(
            name,
            "scan more clients",
            f"requests waited {offer.queue_part:.0%} of their time at the server, so it can do more than was seen",
        )


def _batches(plan: Plan, model: ModelPlan, offer: Offer) -> Iterator[Advice]:
    asked = model.rows_per_event * plan.job.chunk_size
    several = f"all {digits(model.rows_per_event)} rows of an event, and " if model.rows_per_event > 1 else ""
    yield Advice(
        model.model,
        f"ask for {several}all events of a chunk in one request",
        f"{asked:,.0f} rows in chunks of {plan.job.chunk_size:.0f} events"
        + (
            f", which go in requests of {most}, the most that it takes" if 0 < (most := offer.most_rows) < asked else ""
        ),
    )
    rows, clients = offer.settings.get("rows"), offer.clients
    if offer.batch_rows is None or not isinstance(rows, int) or not isinstance(clients, int) or clients < 2:
        return
    if offer.batch_rows >= _TOGETHER * rows:
        yield Advice(
            model.model,
            "batch dynamically",
            f"executions had {offer.batch_rows:,.0f} rows of requests with {rows}, with {clients} clients",
        )
    else:
        yield Advice(
            model.model,
            "let requests go together if it pays: pad them to one shape, or leave batching away",
            f"executions had {offer.batch_rows:,.0f} rows of requests with {rows}, though {clients} clients asked",
        )


def _fleet(plan: Plan, fleet: Fleet) -> Iterator[Advice]:
    filled = sum(fleet.shares.values())
    spare = plan.site.spare
    yield Advice(
        fleet.kind,
        f"{fleet.servers:,} servers",
        f"the jobs fill {digits(filled)} of them, planned with {plan.site.use:.0%} of their capacity"
        + (f", and {spare} to spare: servers fail" if spare else ", and none to spare")
        + ("; the network sets their number" if fleet.limited_by == "network" else ""),
    )
    if len(fleet.shares) > 1:
        shares = ", ".join(f"{digits(share)} for {model}" for model, share in fleet.shares.items())
        yield Advice(
            fleet.kind,
            "all models on every server" if fleet.together else "one model a server",
            f"{shares}: " + ("apart they need more servers" if fleet.together else "apart they need no more servers"),
        )
    line = plan.site.servers[fleet.kind].network_gbps
    each = fleet.network_gbps / fleet.servers
    largest = max(
        (model for model in plan.models if model.model in fleet.shares), key=lambda model: model.bytes_per_event
    )
    yield Advice(
        fleet.kind,
        f"{digits(fleet.network_gbps)} Gbit/s of network",
        f"{digits(each, 2)} Gbit/s a server of {line:g}; most of it is {largest.model}, "
        f"{digits(largest.bytes_per_event / 1e6)} MB an event",
    )
    if fleet.servers > 1:
        yield Advice(fleet.kind, "one address for all", "the client takes the quickest, and goes on when one fails")


def _jobs(plan: Plan) -> Iterator[Advice]:
    threads = plan.threads
    if not plan.fleets:
        yield Advice("jobs", "everything in the job", "nothing that could be offloaded is cheaper elsewhere")
        return
    yield Advice(
        "jobs",
        f"{plan.streams} streams for {threads} threads, asynchronous modules",
        f"at {plan.site.round_trip_ms:g} ms threads have other chunks while some wait, so that distance costs nothing",
    )
    yield Advice(
        "jobs",
        f"fall back to models in the job: {threads} instances, one thread each, in shared memory",
        f"without servers the jobs then do {1 / (1 + plan.gain):.0%} of what they do with them, and none fails",
    )
    if not plan.job.host_known:
        yield Advice(
            "jobs",
            "give a report with a server too",
            "what making and sending of requests leaves to the job is taken to be nothing, and the gain too high",
        )
