"""One point of a scan, measured by the load generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sonic.errors import ConfigError
from sonic.study.load.inputs import FileInputs, RandomInputs, RecordedInputs
from sonic.study.load.jobs import Job
from sonic.study.load.measure import measure
from sonic.study.load.settings import LoadSettings
from sonic.study.scan.models import is_workflow
from sonic.study.scan.settings import concerning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.windows import Glance
    from sonic.study.records import Record
    from sonic.study.scan.deployment import Place
    from sonic.study.scan.spec import Point, Spec


_OF_JOBS = ("chunk_size", "threads", "streams")
_OF_REQUESTS = ("rate", "arrivals", "rows", "think_s", "shared_memory")


class LoadMeasurement:
    """Measures points by :func:`sonic.study.load.measure.measure`; a :class:`~sonic.study.scan.run.Measurement`.

    Parameters
    ----------
    base : Path
        What the file of inputs, and that of a workflow, is relative to.
    progress : callable, optional
        Called a few times a second.
    """

    def __init__(self, base: Path, progress: Callable[[Glance], None] | None = None) -> None:
        self._base = base
        self._progress = progress

    def __call__(self, point: Point, spec: Spec, place: Place) -> Record:
        """Measure a point."""
        target, load, inputs = asked(point, spec, self._base)
        if inputs is not None and len(place.names) > 1:
            inputs = Copies(inputs, place.names)
        return measure(
            target,
            place.url,
            load,
            inputs=inputs,
            copies=place.names[1:],
            metrics=place.metrics,
            pid=place.pid,
            direct=place.direct,
            progress=self._progress,
        )


def asked(point: Point, spec: Spec, base: Path) -> tuple[str | Job, LoadSettings, Inputs | None]:
    """Return what the load generator is asked for at a point: target, load, and what is sent; a job has its own.

    Parameters
    ----------
    point : Point
    spec : Spec
    base : Path
        What files are relative to.

    Raises
    ------
    ConfigError
        If a setting does not go with such a target or input, or a workflow has no events.
    """
    said: dict[str, Any] = {**spec.measure, **concerning(point.settings, "load")}
    file = str(said.pop("input", "random"))
    path = file if "://" in file else str(base / file)
    of_job = {name: said.pop(name) for name in _OF_JOBS if name in said}
    load = LoadSettings(**said)
    if is_workflow(point.target):
        for name in _OF_REQUESTS:
            if name in point.settings:
                raise ConfigError(f"{name} is for models, and {point.target} is a workflow")
        if file == "random":
            raise ConfigError(f"{point.target} is a workflow: set input in [fixed] or [grid] to a file of events")
        workflow = str(base / point.target) if point.target.endswith(".py") else point.target
        return Job(workflow, (path,), **of_job), load, None
    if of_job:
        raise ConfigError(f"{next(iter(of_job))} is for workflows, and {point.target} is a model")
    if file == "random":
        return point.target, load, RandomInputs(load.rows, load.shapes)
    if load.shapes:
        raise ConfigError(f"shapes in [measure] are of random numbers, and input is {file}")
    rows = load.rows if "rows" in point.settings else None
    if path.endswith(".npz"):
        return point.target, load, FileInputs(path, rows)
    if rows is not None:
        raise ConfigError(f"rows is of random numbers and tensors (.npz), and input is recorded requests, {file}")
    return point.target, load, RecordedInputs(path)


@dataclass(frozen=True)
class Copies:
    """Requests that go to the copies of a model by turns; :class:`~sonic.study.load.inputs.Inputs`.

    Parameters
    ----------
    inputs : Inputs
    names : tuple of str
    """

    inputs: Inputs
    names: tuple[str, ...]

    def requests(self, spec: ModelSpec, seed: int) -> Iterator[InferRequest]:
        """Yield requests, each for every copy."""
        for request in self.inputs.requests(spec, seed):
            for name in self.names:
                yield replace(request, model=name)
