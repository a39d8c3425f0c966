"""What the file of a workload says, and what was found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sonic.workloads.zoo import network

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.framework.workflow import Workflow

Summaries = Mapping[str, Mapping[str, float | int | str]]
"""Of a job's analyzers, by their name."""


@dataclass(frozen=True)
class Ordinary:
    """What is done where there is no network.

    Parameters
    ----------
    name : str
        Of the algorithm, for the table.
    prepare : callable of Path
        Reads the events of the sample; not timed.
    run : callable
        Does what the offloaded modules do, on what `prepare` returned: all events, once, on one core.
    """

    name: str
    prepare: Callable[[Path], Any]
    run: Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A workload to measure.

    Parameters
    ----------
    workflow : str or callable
        Name of an installed workflow, or what makes one. Its offloads are what goes to the server.
    events : int
        Of the sample. The job goes over them until it has lasted long enough.
    chunk_size : int
        Events in a chunk.
    merit : callable of (summaries, result)
        The physics figure of merit as text, from the analyzers' rows of the job and from what the ordinary algorithm
        returned (None without one): that of the workload and that of the ordinary algorithm, empty if there is none.
    ordinary : Ordinary, optional
    generator : str
        Name of the installed generator of the sample; the workflow's if empty.
    options : mapping
        Of the generator.
    remark : str
        What a reader of the figures has to know, e.g. that weights are random.
    """

    workflow: str | Callable[[], Workflow]
    events: int
    chunk_size: int
    merit: Callable[[Summaries, Any], tuple[str, str]]
    ordinary: Ordinary | None = None
    generator: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Repeat:
    """One repeat: milliseconds an event, and the share of the external time that was hidden.

    `job` is the whole event loop, `algorithm` the offloaded modules alone with what they prepare, in the job's one
    thread.
    """

    job_direct_ms: float
    job_service_ms: float
    algorithm_ms: float
    ordinary_ms: float | None
    hidden: float


@dataclass(frozen=True)
class Found:
    """What was found of a workload.

    Attributes
    ----------
    request_bytes : float
        Mean tensor bytes of a request.
    requests : float
        Of an event.
    same : bool
        Whether the outputs of the direct job and of the service are the same to the bit.
    merit, ordinary_merit : str
    """

    name: str
    models: tuple[str, ...]
    ordinary: str
    request_bytes: float
    requests: float
    same: bool
    merit: str
    ordinary_merit: str
    remark: str
    repeats: tuple[Repeat, ...]

    def middle(self, of: Callable[[Repeat], float | None]) -> float | None:
        """Median over the repeats; None if there is none."""
        values = [value for repeat in self.repeats if (value := of(repeat)) is not None]
        return median(values) if values else None


def names() -> tuple[str, ...]:
    """Names of the workloads that there is a case of."""
    return tuple(sorted(file.stem for file in (Path(__file__).parent / "cases").glob("[a-z]*.py")))


def load(name: str) -> Case:
    """Return the case of that name; ImportError if it needs a package that is not there."""
    found: Case = import_module(f"benchmarks.workloads.cases.{name}").CASE
    return found


def figure_of(name: str) -> str:
    """Return what a network's training reached on events of its own; that its weights are random if none ship."""
    known = network(name)
    return str(known.metrics().get("figure", "trained")) if known.shipped else "random weights"
