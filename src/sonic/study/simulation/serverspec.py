"""What serves in a simulation, as it is described: models, servers, the network, how they fail. Pure."""

from __future__ import annotations

from dataclasses import fields

import msgspec

from sonic.errors import ConfigError
from sonic.firmware.device.timing import CardModel
from sonic.framework.graph import similar
from sonic.server.scheduling.pace import short_s_on
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy
from sonic.study.conditions.line import Conditions
from sonic.study.simulation.service import Service  # noqa: TC001 - msgspec reads annotations


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model as it is served.

    Parameters
    ----------
    service : Service or None
        What an execution takes.
    card : dict or None
        Or an FPGA card that executes: :class:`~sonic.firmware.device.timing.CardModel`, with its buffers as instances.
    fallback : Service or None
        What it takes on a core of the client, which falls back to it; None: it does not.
    max_rows : int
        Of a batch; 0: requests go alone.
    preferred_rows : tuple of int
    delay_us : float
        How long a request waits for company while an instance is idle.
    max_queue : int
        Requests that may wait; 0: no bound.
    queue_timeout_s : float
        How long; 0: no bound.
    instances : int
        Of each server.
    threads : float
        Cores of its server that an execution uses; 0: it uses an accelerator.
    wake_s : float
        More that an execution takes whose instance was idle: a thread wakes up, and caches are cold. Below 0 where it
        takes less, since nothing else comes in meanwhile.
    handover_s : float
        From the end of an execution until its instance can begin the next.
    turn_s : float
        More of that where the server's event loop executes what came in one of its turns.
    short_s : float or None
        What is known to take less the server's event loop executes itself. None: as with Sonic, 0.3 ms, or 2 ms where
        it has one core alone; and 0, which is nothing, of a model that uses an accelerator, and of a server that does
        not learn. Sonic does so with networks in ONNX, and not with functions and models in Python: give those 0.
    learns : bool
        Whether the server learns how many rows are worth an execution: Sonic's does, Triton does not.
    row_bytes, answer_row_bytes : float
        Of a request and of its answer, by rows.
    """

    service: Service | None = None
    card: dict[str, int | float] | None = None
    fallback: Service | None = None
    max_rows: int = 0
    preferred_rows: tuple[int, ...] = ()
    delay_us: float = 0.0
    max_queue: int = 1024
    queue_timeout_s: float = 0.0
    instances: int = 1
    threads: float = 0.0
    wake_s: float = 0.0
    handover_s: float = 0.0
    turn_s: float = 0.0
    short_s: float | None = None
    learns: bool = True
    row_bytes: float = 0.0
    answer_row_bytes: float = 0.0

    def __post_init__(self) -> None:
        if (self.service is None) == (self.card is None):
            raise ConfigError("a model has a service or a card: one of the two")
        self.card_model()

    def card_model(self) -> CardModel | None:
        """Return the card that executes, if it is one.

        Raises
        ------
        ConfigError
        """
        known = [field.name for field in fields(CardModel)]
        for name in self.card or ():
            if name not in known:
                raise ConfigError(f"a card has no {name!r}{similar(name, known)}")
        return None if self.card is None else CardModel(**self.card)  # type: ignore[arg-type]

    def short_on_s(self, cores: float, speed: float) -> float:
        """Return what takes less the event loop of such a server executes itself; 0 if no execution takes less."""
        if self.service is None:
            return 0.0
        own = self.learns and self.threads
        least_s = self.service.mean_s(1) / speed
        short_s = self.short_s if self.short_s is not None else short_s_on(cores) if own else 0.0
        return short_s if least_s < short_s else 0.0

    def policy(self) -> BatchPolicy:
        """Return how its requests wait and go together."""
        queue = QueuePolicy(timeout_s=self.queue_timeout_s or float("inf"), max_size=self.max_queue)
        return BatchPolicy(self.max_rows, self.preferred_rows, self.delay_us / 1e6, queue)


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Between clients and servers; see :class:`~sonic.study.conditions.line.Conditions`."""

    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbps: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        try:
            self.conditions()
        except ConfigError as error:
            raise ConfigError(f"network: {error}") from None

    def conditions(self) -> Conditions:
        """Return it as the lines take it."""
        return Conditions(self.round_trip_ms, self.jitter_ms, self.bandwidth_mbps, self.loss)


class FailureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How servers fail.

    Parameters
    ----------
    mtbf_s, mttr_s : float
        Mean times from start to failure, and from that to the next start, distributed exponentially; 0: they do not.
    at : tuple of (float, float)
        Besides: at what time, and for how long.
    hangs : bool
        Whether clients hear nothing, instead of that the server is not there.
    """

    mtbf_s: float = 0.0
    mttr_s: float = 60.0
    at: tuple[tuple[float, float], ...] = ()
    hangs: bool = False


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Servers that are alike.

    Parameters
    ----------
    count : int
    speed : float
        By which service times are divided.
    models : tuple of str
        That it has; empty: all.
    accelerators : float
        Executions without `threads` share so many.
    cores : float or None
        Of its machine; None: enough.
    with_clients : bool
        Whether it shares the machine of the clients.
    overhead_s : float
        Processor time of its front end for a request.
    wake_s : float
        More of it for a request that finds the front end idle.
    network : NetworkSpec
        Between all clients and all of these servers.
    failures : FailureSpec
    """

    count: int = 1
    speed: float = 1.0
    models: tuple[str, ...] = ()
    accelerators: float = 1.0
    cores: float | None = None
    with_clients: bool = False
    overhead_s: float = 0.0
    wake_s: float = 0.0
    network: NetworkSpec = NetworkSpec()
    failures: FailureSpec = FailureSpec()
