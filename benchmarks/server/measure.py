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

_WARM_UP_S = 0.3


class WrongAnswersError(RuntimeError):
    """Not every answer under load was right."""


@dataclass(frozen=True)
class Sample:
    """One repeat: requests a second, and the server's processor time of each in milliseconds."""

    per_s: float
    cpu_ms: float


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

    @property
    def cpu_ms(self) -> float:
        """Median of the server's processor time of a request, in milliseconds; nan without any."""
        return median(sample.cpu_ms for sample in self.samples) if self.samples else float("nan")


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
    WrongAnswersError
        If an answer was an error or wrong.
    RuntimeError
        If the load generator or the server failed.
    """
    answer_bytes = _ask(request, outputs, shared)
    h2load.run(request, clients, _WARM_UP_S, cores)
    target.settle()
    before_s = target.cpu_s()
    load = h2load.run(request, clients, seconds, cores)
    cpu_s = target.cpu_s() - before_s
    check(load, answer_bytes, clients)
    target.settle()
    _ask(request, outputs, shared)
    return Sample(load.done / load.elapsed_s, 1000 * cpu_s / load.done)


def check(load: h2load.Load, answer_bytes: int, clients: int) -> None:
    """Check that all answers under load were of the right size: an error of gRPC has status 200 and no body.

    Raises
    ------
    WrongAnswersError
        If not.
    """
    if load.failed:
        raise WrongAnswersError(f"{load.failed} of {load.done} requests failed")
    if not load.done:
        raise WrongAnswersError(f"no answer within {load.elapsed_s:g} s")
    # An answer a client may have been under way when the time was up; its bytes count, and it does not.
    excess = load.data_bytes - load.done * answer_bytes
    if not 0 <= excess <= clients * answer_bytes:
        raise WrongAnswersError(
            f"{load.done} answers of {answer_bytes} bytes each, and {load.data_bytes} bytes came: some are errors"
        )


def _ask(request: wire.Request, outputs: Mapping[str, np.ndarray], shared: wire.Region | None) -> int:
    try:
        return wire.ask(request, outputs, shared)
    except AssertionError as error:
        raise WrongAnswersError(" ".join(str(error).split())[:300]) from error
