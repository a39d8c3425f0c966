"""The networks by name: what there is, building a model's folder, training one."""

from __future__ import annotations

import math
import shutil
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sonic.errors import ConfigError, OutputError
from sonic.files import appearing
from sonic.workloads import MODELS, modelcard
from sonic.workloads.networks.catalogue import NETWORKS, Network, network

if TYPE_CHECKING:
    import os

    from sonic.workloads.progress import Progress
    from sonic.workloads.training.loop import Recipe

__all__ = ["FORMATS", "NETWORKS", "WEIGHTS", "Network", "build", "defaults", "network", "train", "trainable"]

WEIGHTS = ("trained", "random", "table")
FORMATS = ("onnx", "torchscript")


def build(
    name: str,
    folder: str | os.PathLike[str],
    *,
    weights: str = "trained",
    width: float = 1.0,
    seed: int = 0,
    format: str = "onnx",  # noqa: A002 - as the option is called
) -> Path:
    """Put a network into a model repository; an ensemble with its steps.

    Parameters
    ----------
    name : str
    folder : path
        The repository; the model's folder is made in it, and must not be there yet.
    weights : {"trained", "random", "table"}
        ``trained``: a copy of those that ship. ``random``: good for measuring speed alone; needs the extra ``train``.
        ``table``: the same, in a file of some kB whatever the size of the network.
    width : float
        Scale of the channels, for random weights; 1 is the published size.
    seed : int
        Of the random weights.
    format : {"onnx", "torchscript"}
        What random weights are exported to; trained ones ship as ONNX.

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
    check(name, weights=weights, width=width, format=format)
    target = Path(folder) / name
    if target.exists():
        raise OutputError(f"{target} is there already")
    if weights == "trained":
        with appearing(target) as work:
            shutil.copytree(MODELS / name, work, dirs_exist_ok=True)
        return target
    try:
        from sonic.workloads import export
    except ImportError as error:
        raise _needs_extra(error.name or str(error)) from None
    return export.write_random(name, Path(folder), width, seed, format, table=weights == "table")


def check(name: str, *, weights: str = "trained", width: float = 1.0, format: str = "onnx") -> None:  # noqa: A002
    """Refuse what :func:`build` cannot make, as far as that is known without beginning.

    Parameters
    ----------
    name, weights, width, format
        See :func:`build`.

    Raises
    ------
    ConfigError
        If the network, the weights asked for or a package is not there.
    """
    found = network(name)
    if weights not in WEIGHTS:
        raise ConfigError(f"weights {weights!r}: one of {', '.join(WEIGHTS)}")
    if format not in FORMATS:
        raise ConfigError(f"format {format!r}: one of {', '.join(FORMATS)}")
    if not 0 < width < math.inf:
        raise ConfigError(f"width must be positive, got {width}")
    if weights != "trained":
        for package in ("torch", "onnx"):
            if find_spec(package) is None:
                raise _needs_extra(package)
        return
    if not found.shipped:
        how = "train them, or " if found.training else ""
        raise ConfigError(f"{name}: no trained weights ship; {how}build with random ones (--weights random)")
    if width != 1.0:
        raise ConfigError(f"{name}: trained weights have the width they have; build random ones, or train")
    if format != "onnx":
        raise ConfigError(f"{name}: trained weights ship as onnx, not as {format}")


def trainable() -> tuple[Network, ...]:
    """Return the networks that there is a training for."""
    return tuple(one for one in NETWORKS if one.training)


def defaults(name: str) -> Recipe:
    """Return the recipe that a network is trained by unless told otherwise.

    Raises
    ------
    ConfigError
        If there is no such network or no training for it, or an extra is missing.
    """
    recipe: Recipe = _trainer(name).DEFAULTS
    return recipe


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
        The model's folder, with ``metrics.json`` and a model card made of it.

    Raises
    ------
    ConfigError
        If there is no such network or no training for it, an extra is missing, or the recipe makes no sense.
    OutputError
        If the folder cannot be written.
    """
    trainer = _trainer(name)
    from sonic.workloads import export

    recipe = recipe.resolved()
    repository = Path(folder)
    work = repository.resolve().with_name(f".{repository.resolve().name}-training") / name
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _Stopwatch(work / "elapsed") as watch:
            trained, metrics = trainer.train(recipe, work, progress or (lambda *_: None))
        known = export.card(name, recipe, metrics) | {"elapsed_s": watch.elapsed_s}
        target = export.write(name, trained, work / "model", known, replace=True)
        modelcard.write(network(name), target)
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


class _Stopwatch:
    """Seconds that a training takes, those before it was interrupted included, which are kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.elapsed_s = float(file.read_text()) if file.exists() else 0.0

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed_s = round(self.elapsed_s + time.perf_counter() - self._started, 1)
        self._file.write_text(str(self.elapsed_s))


def _trainer(name: str) -> Any:
    """Import what trains a network: a module, or an attribute of one, that has ``DEFAULTS`` and ``train``."""
    found = network(name)
    if not found.training:
        trained = ", ".join(n.name for n in trainable())
        raise ConfigError(f"{name}: there is no training for it; there is for {trained}")
    module, _, attribute = found.training.partition(":")
    try:
        trainer = import_module(f"sonic.workloads.training.{module}")
    except ImportError as error:
        raise _needs_extra(error.name or str(error)) from None
    return getattr(trainer, attribute) if attribute else trainer


def _needs_extra(package: str) -> ConfigError:
    return ConfigError(f"this needs {package}: pip install 'sonic-hep[train]'")
