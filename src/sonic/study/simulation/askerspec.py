"""Who asks in a simulation: what is alike for all, clients of a closed loop, arrivals, jobs. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sonic.framework.graph import Graph, Node
from sonic.study.simulation.job import Mode  # noqa: TC001 - msgspec reads annotations
from sonic.study.simulation.serverspec import NetworkSpec


class ClientSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is alike for all who ask.

    Parameters
    ----------
    settings : dict
        Of :class:`~sonic.client.settings.ClientSettings`.
    overhead_s : float
        Processor time of a client for a request.
    cores : float or None
        Of the machine that clients share; None: enough. A job has its own, as many as threads.
    timeout_s : float or None
        Deadline of a request.
    network : NetworkSpec
        Each client's own end of the network.
    """

    settings: dict[str, Any] = {}
    overhead_s: float = 0.0
    cores: float | None = None
    timeout_s: float | None = None
    network: NetworkSpec = NetworkSpec()


class ClientsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A closed loop: clients that wait for their answers.

    Parameters
    ----------
    number : int
    model : str
        May be left out if there is one alone.
    rows : int
    in_flight : int
        Requests that each has under way.
    think_s : float
        Between an answer and the next request, on average.
    constant : bool
        Whether each such pause is as long, as with ``sonic study load``; else they are distributed exponentially.
    processes : int
        That they are spread over; each sends and receives in one thread.
    phases : tuple of (int, float, float)
        More clients, from a time until another.
    """

    number: int = 1
    model: str = ""
    rows: int = 1
    in_flight: int = 1
    think_s: float = 0.0
    constant: bool = False
    processes: int = 1
    phases: tuple[tuple[int, float, float], ...] = ()


class ArrivalsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An open loop.

    Parameters
    ----------
    rate : float
        Requests a second.
    model : str
    rows : int
        As of clients.
    constant : bool
        Whether they come in equal steps; else their number is Poisson's.
    """

    rate: float
    model: str = ""
    rows: int = 1
    constant: bool = False


class ModuleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A module of a workflow.

    Parameters
    ----------
    name : str
    cpu_s : float
        Processor time of an event; of an offload, if it is computed in the job.
    scatter : float
        Of that, from chunk to chunk: the standard deviation of the logarithm.
    consumes, produces : tuple of str
    model : str
        That it is offloaded to; empty: it is none.
    rows : float
        Of a request, by event.
    requests : int
        For a chunk, one after another.
    acquire_s, produce_s : float
        Processor time of an event before and after the request.
    mode : {"async", "sync", "pseudo_async"}
    """

    name: str
    cpu_s: float = 0.0
    scatter: float = 0.0
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    model: str = ""
    rows: float = 1.0
    requests: int = 1
    acquire_s: float = 0.0
    produce_s: float = 0.0
    mode: Mode = "async"


class JobsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that run a workflow.

    Parameters
    ----------
    modules : tuple of ModuleSpec
    number : int
    threads : int
    streams : int or None
        None: as many as threads.
    chunk_events : int
    speed : float
        By which processor times are divided.
    read_s, write_s : float
        Processor time of an event.
    mode : {"service", "direct"}
        Whether offloads ask, or compute in the job.
    stagger_s : float
        In which the jobs begin, at times that are drawn.
    """

    modules: tuple[ModuleSpec, ...]
    number: int = 1
    threads: int = 1
    streams: int | None = None
    chunk_events: int = 1
    speed: float = 1.0
    read_s: float = 0.0
    write_s: float = 0.0
    mode: Literal["service", "direct"] = "service"
    stagger_s: float = 0.0

    def request_rows(self, module: ModuleSpec) -> int:
        """Return the rows of a request of a module."""
        return max(1, round(module.rows * self.chunk_events / module.requests))

    def takes_time(self) -> bool:
        """Whether time passes with each event."""
        asks = self.mode == "service" and any(module.model for module in self.modules)
        return asks or self.read_s + self.write_s + sum(module.cpu_s for module in self.modules) > 0

    def graph(self) -> Graph:
        """Return the workflow's graph."""
        return Graph([Node(each.name, each.consumes, (), each.produces) for each in self.modules])
