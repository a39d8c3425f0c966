"""One point of a scan, measured by the load generator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
    from sonic.study.load.measure import Glance
    from sonic.study.records import Record
    from sonic.study.scan.deployment import Place
    from sonic.study.scan.spec import Point, Spec


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
        said: dict[str, Any] = {**spec.measure, **concerning(point.settings, "load")}
        file = said.pop("input", "random")
        of_job = {name: said.pop(name) for name in ("chunk_size", "threads", "streams") if name in said}
        load = LoadSettings(**said)
        if is_workflow(point.target):
            if file == "random":
                raise ConfigError(f"{point.target} is a workflow: set input to a file of events")
            workflow = str(self._base / point.target) if point.target.endswith(".py") else point.target
            job = Job(workflow, (str(self._base / file),), **of_job)
            return measure(job, place.url, load, metrics=place.metrics, progress=self._progress)
        if of_job:
            raise ConfigError(f"{next(iter(of_job))} is for workflows, and {point.target} is a model")
        inputs: Inputs = RandomInputs(load.rows, load.shapes)
        if file != "random":
            path, rows = str(self._base / file), load.rows if "rows" in point.settings else None
            inputs = FileInputs(path, rows) if path.endswith(".npz") else RecordedInputs(path)
        if len(place.names) > 1:
            inputs = Copies(inputs, place.names)
        return measure(
            point.target,
            place.url,
            load,
            inputs=inputs,
            copies=place.names[1:],
            metrics=place.metrics,
            progress=self._progress,
        )


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
