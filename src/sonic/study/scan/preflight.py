"""What a scan can know to be wrong before it starts anything: files, models, sizes, packages and devices.

A point is looked at as far as its own measurement would go before it asks a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, SonicError, one_line
from sonic.framework.graph import similar
from sonic.protocol.modelconfig import to_spec
from sonic.protocol.modelfolder import read_config
from sonic.server.backends import backend_for
from sonic.server.backends.completion import complete
from sonic.server.backends.devices import amd_gpus, nvidia_gpus
from sonic.server.models.folders import model_folders
from sonic.study.load.jobs import Job
from sonic.study.load.measure import missing_file
from sonic.study.load.stable import check_installed
from sonic.study.scan.measuring import asked
from sonic.study.scan.models import change, repository_of, source
from sonic.study.scan.settings import concerning

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from sonic.specs import ModelSpec
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.settings import LoadSettings
    from sonic.study.records import Setting
    from sonic.study.scan.spec import Point, Spec


def check(spec: Spec, points: Iterable[Point], base: Path) -> None:
    """Refuse a scan of which it is known now that a point cannot be measured.

    What only a server tells, such as the tensors of a model on somebody's, shows at the point.

    Parameters
    ----------
    spec : Spec
    points : iterable of Point
        Of them, those that are to be measured.
    base : Path
        What files in the specification are relative to.

    Raises
    ------
    ConfigError
        With the first thing that is wrong, and where in the specification it was said.
    """
    check_installed()
    seen: set[Hashable] = set()
    for point in points:
        matters = concerning(point.settings, "load", "server")
        matters.pop("clients", None)  # what is right for one is right for more
        if (key := (point.target, *matters.items())) in seen:
            continue
        seen.add(key)
        try:
            target, load, inputs = asked(point, spec, base)
            if path := missing_file(target, inputs):
                raise ConfigError(f"input is {Path(path).name}, and there is no file {Path(path).absolute()}")
            if spec.server is None:
                _check_served(target, load, inputs, point, base)
        except SonicError as error:
            said = one_line(error)
            raise ConfigError(f"{_where(spec, said)}: {said}") from error


def _where(spec: Spec, said: str) -> str:
    """Return the file, and the table of it that has the setting which a message begins with."""
    table = spec.tables.get(said.partition(" ")[0], "")
    return f"{spec.where}, {table}" if table else spec.where


def _check_served(target: str | Job, load: LoadSettings, inputs: Inputs | None, point: Point, base: Path) -> None:
    """Look for what the scan's own server is to serve, and make a first request for it."""
    settings = point.settings
    if settings.get("kind") == "gpu" and not nvidia_gpus() + amd_gpus():
        raise ConfigError("kind is gpu, and this host has no GPU that its driver tells of")
    found = source(point.target, settings, base)
    if isinstance(target, Job):
        there = {path.name for path in model_folders(repository_of(settings, base))}
        for module in target.load().offloads():
            if module.model not in there:
                raise ConfigError(
                    f"models is {repository_of(settings, base)}, which has no {module.model} for {target.workflow}"
                    f"{similar(module.model, there)}"
                )
    elif found is not None and inputs is not None and (spec := _spec(found, settings)) is not None:
        next(iter(inputs.requests(spec, load.seed)), None)


def _spec(folder: Path, settings: Mapping[str, Setting]) -> ModelSpec | None:
    """Return what a server will say of a model; None if its file says so, and not its configuration."""
    config = read_config(folder)
    backend_for(config, folder)
    if not config.HasField("ensemble_scheduling"):
        change(config, settings)
    if not config.input or not config.output:
        return None
    return to_spec(complete(config, folder.name, None), "")
