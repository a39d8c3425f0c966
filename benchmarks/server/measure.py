"""One point measured: a case, a way to a server, a number of clients."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.server import h2load, wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from benchmarks.server.processes import Target

_MEET_S = 1.5
_WARM_UP_S = 0.3


@dataclass(frozen=True)
class Sample:
    """One repeat.

    Parameters
    ----------
    per_s : float
        Requests a second.
    cpu_ms : float
        The server's processor time of a request, in milliseconds.
    load_cores : float
        How much of its core the load generator used: near 1, it is what was measured.
    """

    per_s: float
    cpu_ms: float
    load_cores: float = 0.0

    @property
    def cores(self) -> float:
        """Cores that the server kept busy: with one, below 1 it waited, for requests or for others on its core."""
        return self.per_s * self.cpu_ms / 1000


@dataclass(frozen=True)
class Point:
    """What was measured of one case by one way with so many clients.

    Parameters
    ----------
    server : str
    case, transport : str
    clients : int
    samples : tuple of Sample
        One for each repeat that succeeded.
    error : str
        Why the others did not; empty if all did.
    """

    server: str
    case: str
    transport: str
    clients: int
    samples: tuple[Sample, ...] = ()
    error: str = ""

    @property
    def per_s(self) -> float:
        """Median of the requests a second; nan without any."""
        return median(sample.per_s for sample in self.samples) if self.samples else float("nan")


def meet(request: wire.Request, target: Target, *, clients: int, cores: Sequence[int]) -> None:
    """Have a server that has just started meet its load: it allocates memory, and tries out what merging is worth.

    Raises
    ------
    RuntimeError
        If the load generator or the server failed.
    """
    h2load.run(request, clients, _MEET_S, cores)
    target.settle()


def sample(
    request: wire.Request,
    target: Target,
    outputs: Mapping[str, np.ndarray],
    shared: wire.Region | None,
    *,
    clients: int,
    seconds: float,
    cores: Sequence[int],
) -> Sample:
    """Ask once and compare, warm up, put on the load, ask once more.

    Raises
    ------
    WrongAnswerError
        If an answer was an error or wrong.
    RuntimeError
        If the load generator or the server failed.
    """
    answer_bytes = wire.ask(request, outputs, shared)
    h2load.run(request, clients, _WARM_UP_S, cores)
    target.settle()
    before_s = target.cpu_s()
    load = h2load.run(request, clients, seconds, cores)
    cpu_s = target.cpu_s() - before_s
    check(load, answer_bytes, clients)
    target.settle()
    wire.ask(request, outputs, shared)
    return Sample(load.done / load.elapsed_s, 1000 * cpu_s / load.done, load.cpu_s / load.elapsed_s)


def check(load: h2load.Load, answer_bytes: int, clients: int) -> None:
    """Check that all answers under load were of the right size: an error of gRPC has status 200 and no body.

    Raises
    ------
    WrongAnswerError
        If not.
    """
    if load.failed:
        raise wire.WrongAnswerError(f"{load.failed} of {load.done} requests failed")
    if not load.done:
        raise wire.WrongAnswerError(f"no answer within {load.elapsed_s:g} s")
    # An answer a client may have been under way when the time was up; its bytes count, and it does not.
    excess = load.data_bytes - load.done * answer_bytes
    if not 0 <= excess <= clients * answer_bytes:
        raise wire.WrongAnswerError(
            f"{load.done} answers of {answer_bytes} bytes each, and {load.data_bytes} bytes came: some are errors"
        )
