"""The networks by name: what there is, building a model's folder, training one."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, OutputError
from sonic.workloads import MODELS

if TYPE_CHECKING:
    import os

    from sonic.workloads.training.loop import Progress, Recipe

WEIGHTS = ("trained", "random")


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the zoo.

    Parameters
    ----------
    name : str
        Of the model it is served as.
    physics : str
        What it does.
    parameters : int
        Weights and normalisation statistics at the published size.
    """

    name: str
    physics: str
    parameters: int

    @property
    def shipped(self) -> bool:
        """Whether trained weights come with Sonic."""
        return (MODELS / self.name / "1" / "model.onnx").is_file()

    def metrics(self) -> dict[str, Any]:
        """Read what is known of the trained weights that ship; empty if none do."""
        file = MODELS / self.name / "metrics.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return found


NETWORKS: tuple[Network, ...] = (
    Network("particlenet-ak4", "flavour of jets from their particles and secondary vertices", 235_492),
    Network("deepmet", "missing transverse momentum from all candidates of an event", 5_363),
)


def network(name: str) -> Network:
    """Return the network of that name.

    Raises
    ------
    ConfigError
        If there is none; lists those there are.
    """
    for one in NETWORKS:
        if one.name == name:
            return one
    raise ConfigError(f"no network {name!r}: there are {', '.join(n.name for n in NETWORKS)}")


def build(
    name: str,
    folder: str | os.PathLike[str],
    *,
    weights: str = "trained",
    width: float = 1.0,
    seed: int = 0,
) -> Path:
    """Put a network into a model repository.

    Parameters
    ----------
    name : str
    folder : path
        The repository; the model's folder is made in it, and must not be there yet.
    weights : {"trained", "random"}
        ``trained``: a copy of those that ship. ``random``: good for measuring speed alone; needs the extra ``train``.
    width : float
        Scale of the channels, for random weights; 1 is the published size.
    seed : int
        Of the random weights.

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    ConfigError
        If the network, the weights asked for or an extra is not there.
    OutputError
        If the folder cannot be written, or the model is there already.
    """
    found = network(name)
    if weights not in WEIGHTS:
        raise ConfigError(f"weights {weights!r}: one of {', '.join(WEIGHTS)}")
    target = Path(folder) / name
    if target.exists():
        raise OutputError(f"{target} is there already")
    if weights == "trained":
        if width != 1.0:
            raise ConfigError(f"{name}: trained weights have the published width; build random ones, or train")
        if not found.shipped:
            raise ConfigError(f"{name}: no trained weights ship; train them, or build with random ones")
        try:
            shutil.copytree(MODELS / name, target)
        except OSError as error:
            raise OutputError(f"{target} could not be written: {error}") from error
        return target
    try:
        from sonic.workloads import export
    except ImportError as error:
        raise _needs_extra(error) from None
    return export.write(
        export.random_network(name, width, seed),
        target,
        {"network": name, "width": width, "weights": "random, for measuring speed alone", "seed": seed},
    )


def defaults(name: str) -> Recipe:
    """Return the recipe that a network is trained by unless told otherwise.

    Raises
    ------
    ConfigError
        If there is no such network, or an extra is missing.
    """
    network(name)
    try:
        from sonic.workloads.training import deepmet, particlenet
    except ImportError as error:
        raise _needs_extra(error) from None
    return {"particlenet-ak4": particlenet.DEFAULTS, "deepmet": deepmet.DEFAULTS}[name]


def train(name: str, folder: str | os.PathLike[str], recipe: Recipe, progress: Progress | None = None) -> Path:
    """Generate events, train a network on them, and put it into a model repository.

    An interrupted training goes on from where it was if called again with the same recipe: its events and
    checkpoints are kept until it is done, in a hidden folder beside `folder`.

    Parameters
    ----------
    name : str
    folder : path
        The repository; a model of that name in it is replaced once the new one is whole.
    recipe : Recipe
    progress : callable of (stage, done, total), optional

    Returns
    -------
    Path
        The model's folder, with ``metrics.json``.

    Raises
    ------
    ConfigError
        If there is no such network, an extra is missing, or the recipe makes no sense.
    OutputError
        If the folder cannot be written.
    """
    network(name)
    try:
        from sonic.workloads import export
        from sonic.workloads.training import deepmet, particlenet
    except ImportError as error:
        raise _needs_extra(error) from None
    trainers: dict[str, Any] = {"particlenet-ak4": particlenet.train, "deepmet": deepmet.train}
    recipe = recipe.resolved()
    repository = Path(folder)
    work = repository.resolve().with_name(f".{repository.resolve().name}-training") / name
    try:
        work.mkdir(parents=True, exist_ok=True)
        trained, metrics = trainers[name](recipe, work, progress or (lambda *_: None))
        target = export.write(trained, work / "model", export.card(name, recipe, metrics), replace=True)
        final = repository / name
        repository.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        shutil.move(target, final)
        shutil.rmtree(work)
        if not any(work.parent.iterdir()):
            work.parent.rmdir()
    except OSError as error:
        raise OutputError(f"{repository / name} could not be written: {error}") from error
    return final


def _needs_extra(error: ImportError) -> ConfigError:
    return ConfigError(f"this needs {error.name or error}: pip install 'sonic-hep[train]'")
