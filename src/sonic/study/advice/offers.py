"""What servers were seen to do for a model: the best way to serve it, and what each choice is worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonic.study.advice.site import kind_of
from sonic.study.scan.settings import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sonic.study.advice.site import Site
    from sonic.study.records import Record, Setting

_LOAD = frozenset({"clients", "rate", "arrivals", "think_s", "processes", "jobs", "seed", "servers"})
_ASKING = _LOAD | {name for name, known in KNOWN.items() if known.concern == "network"}
"""Settings of who asks, and from where; all others are of how it is served."""


@dataclass(frozen=True)
class Offer:
    """One way to serve a model, at its best.

    Parameters
    ----------
    model, kind : str
    rows_per_s : float
        The most that was seen, over all numbers of clients.
    latency_s : float or None
        Mean, with so little load that nothing queues.
    busy_latency_s : float or None
        Mean where it computes the most.
    batch_rows : float or None
        Rows of an execution there.
    queue_part : float or None
        Part of the time at the server that requests waited there.
    settings : mapping of str to setting
        How it was served.
    clients : Setting or None
        That it took.
    measured : bool
        Whether it was; else it was simulated, or is said by the site.
    simulated : bool
    random : bool
        Whether what was sent was drawn at random.
    most_rows : int
        Of a request, as the server says; 0 where it does not.
    """

    model: str
    kind: str
    rows_per_s: float
    latency_s: float | None = None
    busy_latency_s: float | None = None
    batch_rows: float | None = None
    queue_part: float | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    clients: Setting | None = None
    measured: bool = True
    simulated: bool = False
    random: bool = False
    most_rows: int = 0


def offers(records: Iterable[Record]) -> list[Offer]:
    """Sum up scans: an offer for each way of serving, the quickest first.

    Points that are not measured are left out, and those of clients that executed the model themselves. What was
    simulated of several servers is told of one.

    Raises
    ------
    ConfigError
        If a record does not say what its server is; see :func:`~sonic.study.advice.site.kind_of`.
    """
    ways: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        if record.status == "measured" and record.row_rate is not None and record.settings.get("protocol") != "local":
            ways.setdefault((record.target, *sorted(_served(record).items())), []).append(record)
    return sorted((_offer(way) for way in ways.values()), key=lambda offer: -offer.rows_per_s)


def stated(site: Site) -> list[Offer]:
    """Return what the site's file says of its servers."""
    return [
        Offer(model, kind, rate, measured=False)
        for kind, server in site.servers.items()
        for model, rate in server.rows_per_s.items()
    ]


def _offer(records: list[Record]) -> Offer:
    best = max(records, key=_rate)
    calm = min(records, key=lambda record: record.latencies.mean_s if record.latencies else float("inf"))
    servers = [window.server for window in best.windows if window.server is not None]
    executions = sum(server.executions for server in servers)
    waited_s = sum(server.queue_s * server.requests for server in servers)
    there_s = waited_s + sum((s.input_s + s.infer_s + s.output_s) * s.requests for s in servers)
    settings = _served(best)
    return Offer(
        best.target,
        kind_of(best),
        _rate(best),
        calm.latencies.mean_s if calm.latencies else None,
        best.latencies.mean_s if best.latencies else None,
        sum(server.rows for server in servers) / executions if executions else None,
        waited_s / there_s if there_s else None,
        settings,
        best.settings.get("clients"),
        measured=not settings.get("simulated"),
        simulated=bool(settings.get("simulated")),
        random=settings.get("input", "random") == "random",
        most_rows=int(best.served("batch")),
    )


def _served(record: Record) -> dict[str, Setting]:
    return {name: value for name, value in record.settings.items() if name not in _ASKING}


def _rate(record: Record) -> float:
    if record.row_rate is None:
        return 0.0
    servers = record.details.get("servers_mean", record.settings.get("servers", 1))  # of a simulation
    return record.row_rate.value / float(servers)


def gain_of(name: str, all_offers: Iterable[Offer], chosen: Offer) -> tuple[Setting, Setting, float] | None:
    """Say what one setting of the chosen way is worth.

    Returns
    -------
    (chosen value, other value, float) or None
        How many times more rows a second than with the next best value, all other settings alike; None if there is
        nothing to compare with.
    """
    others = [
        offer
        for offer in all_offers
        if offer.model == chosen.model
        and name in offer.settings
        and offer.settings[name] != chosen.settings.get(name)
        and {k: v for k, v in offer.settings.items() if k != name}
        == {k: v for k, v in chosen.settings.items() if k != name}
    ]
    if name not in chosen.settings or not others:
        return None
    best = max(others, key=lambda offer: offer.rows_per_s)
    return chosen.settings[name], best.settings[name], chosen.rows_per_s / best.rows_per_s
