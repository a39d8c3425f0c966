"""The networks that there are; needs PyTorch for their blueprints alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.workloads.networks.blueprint import Blueprint, Ensemble


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the zoo.

    Parameters
    ----------
    name : str
        Of the model it is served as.
    physics : str
        What it does.
    module : str
        Of :mod:`sonic.workloads.networks`, which builds it.
    weights : int
        At the published size: all that are trained but those of batch normalisations.
    normalisation : int
        Scales, shifts, means and variances of batch normalisations.
    training : str
        Module of :mod:`sonic.workloads.training` that trains it, or ``module:attribute`` where one trains several;
        empty if there is none.
    """

    name: str
    physics: str
    module: str
    weights: int
    normalisation: int = 0
    training: str = ""

    @property
    def parameters(self) -> int:
        """Weights and normalisation statistics at the published size."""
        return self.weights + self.normalisation

    @property
    def shipped(self) -> bool:
        """Whether trained weights come with Sonic; there are random ones, too, where a workflow is to run at once."""
        there = (MODELS / self.name / "1" / "model.onnx").is_file()
        return there and not str(self.metrics().get("weights", "")).startswith("random")

    def metrics(self) -> dict[str, Any]:
        """Read what is known of the weights that ship; empty if none do."""
        file = MODELS / self.name / "metrics.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return found


NETWORKS: tuple[Network, ...] = (
    Network(
        "particlenet-ak4",
        "flavour of jets from their particles and secondary vertices",
        "taggers",
        229_480,
        6_012,
        training="particlenet",
    ),
    Network(
        "deepmet",
        "missing transverse momentum from all candidates of an event",
        "deepmet",
        4_915,
        448,
        training="deepmet",
    ),
    Network("facile-v2", "energy of hadron-calorimeter channels", "facile", 36_041, 188, training="facile:V2"),
    Network("facile-v5", "energy of hadron-calorimeter channels, small", "facile", 4_787, 184, training="facile:V5"),
    Network(
        "facile-fpga", "energy of hadron-calorimeter channels, for FPGAs", "facile", 981, 120, training="facile:FPGA"
    ),
    Network("facile-fpga-fixed", "the same in fixed point", "facile", 981, 120),
    Network(
        "deepcalo",
        "energy of electrons from calorimeter images",
        "deepcalo",
        1_833_745,
        3_920,
        training="deepcalo:FULL",
    ),
    Network(
        "deepcalo-tiny",
        "energy of electrons from calorimeter images, small",
        "deepcalo",
        6_857,
        304,
        training="deepcalo:TINY",
    ),
    Network("resnet50", "top quarks in images of jets", "resnet50", 25_555_138, 106_240, training="resnet50"),
    Network(
        "emtrackmichel",
        "tracks, showers and Michel electrons in liquid argon",
        "emtrackmichel",
        11_900_420,
        training="emtrackmichel",
    ),
    Network("particlenet-ak8", "flavour of boosted jets", "taggers", 577_940, 9_104, training="particlenet_ak8"),
    Network("deeptau", "taus among electrons, muons and jets", "deeptau", 1_140_431, 19_896),
    Network("deeptau-ensemble", "the same in four steps", "deeptau", 1_140_431, 19_896),
    Network("trackgnn", "edges between hits of one particle in a tracker", "trackgnn", 44_803, training="trackgnn"),
    Network("trackgnn-large", "edges between hits of one particle in a tracker, large", "trackgnn", 516_993),
    Network(
        "gravnet-oc",
        "showers from hits of a high-granularity calorimeter",
        "gravnet",
        420_204,
        7_188,
        training="gravnet",
    ),
    Network("jet-mlp", "classes of Level-1 jets", "jetmlp", 4_389),
    Network("jet-mlp-fixed", "the same in fixed point", "jetmlp", 4_389),
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


def took(metrics: Mapping[str, Any]) -> str:
    """Say how long a training took, of its metrics; empty if that is not known."""
    if "elapsed_s" not in metrics:
        return ""
    cores = metrics["recipe"]["cores"]
    seconds = metrics["elapsed_s"]
    lasted = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{lasted}, {cores} core{'' if cores == 1 else 's'}"


def blueprint(name: str) -> Blueprint:
    """Return how a network is made and served; of an ensemble, its whole.

    Raises
    ------
    ConfigError
        If there is none of that name.
    ImportError
        If there is no PyTorch.
    """
    made = _module(name)
    found: Blueprint = made.BLUEPRINTS[name] if name in made.BLUEPRINTS else made.ENSEMBLES[name](1.0).whole
    return found


def ensemble(name: str, width: float) -> Ensemble | None:
    """Return the ensemble of that name, its channels scaled; None if the network is served as one model.

    Raises
    ------
    ConfigError
        If there is no network of that name.
    ImportError
        If there is no PyTorch.
    """
    made = _module(name)
    return None if name in made.BLUEPRINTS else made.ENSEMBLES[name](width)


def _module(name: str) -> Any:
    # By name, for each of these files needs PyTorch, and the list of what there is does not.
    return import_module(f"sonic.workloads.networks.{network(name).module}")
