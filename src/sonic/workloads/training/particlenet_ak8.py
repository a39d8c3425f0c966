"""Train ParticleNet to tell what wide jets of generated events hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads.figures import auc, roc
from sonic.workloads.networks.taggers import AK8
from sonic.workloads.training.datasets import SEEN, wide_jets_of
from sonic.workloads.training.loop import Recipe
from sonic.workloads.training.particlenet import teach
from sonic.workloads.truth import WIDE_CLASSES, wide_discriminants

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from sonic.workloads.networks.particlenet import ParticleNet
    from sonic.workloads.progress import Progress
    from sonic.workloads.training.datasets import Arrays

# A quarter of the published width: minutes on a core instead of hours.
DEFAULTS = Recipe(events=5_000, seed=1, epochs=8, batch=128, learning_rate=5e-3, width=0.25, device="auto", cores=0)
_SIGNALS = {"top": "T", "w": "W", "z": "Z", "higgs": "H", "hbb": "Hbb"}
_ALIKE_GEV = (300.0, 600.0)
_LEPTONIC = ("Tbel", "Tbmu", "Tbta")


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[ParticleNet, dict[str, Any]]:
    """Generate wide jets, train on them and test on others.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    folder : Path
        For generated blocks and the checkpoint.
    progress : callable of (stage, done, total)

    Returns
    -------
    network : ParticleNet
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of jets, losses, and how well the decays of heavy particles are told from quarks and gluons.
    """
    taught = teach(
        AK8.times(recipe.width), wide_jets_of, "wide_share", WIDE_CLASSES, recipe, folder, progress, batch=200
    )
    metrics = taught.metrics | evaluate(taught.scores, taught.test)
    return taught.network, metrics | texts(metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what the metrics say."""
    areas = metrics["auc_against_qcd"]
    return {
        "figure": f"AUC top vs QCD {areas['top']:.3f}, H to bb vs QCD {areas['hbb']:.3f}",
        "data": f"Wide jets of events of Pythia {SEEN}: top quarks, a Higgs boson with a W or a Z, QCD; shares in "
        "metrics.json",
        "limits": "A quarter of the published width and few jets, of a simple detector: no measure of CMS's network",
    }


def evaluate(scores: NDArray[np.float32], jets: Arrays) -> dict[str, Any]:
    """Tell hadronic decays from quarks and gluons: areas under the ROC curves, and efficiencies, of test jets.

    Once more for jets of momenta alike, since those of quarks and gluons reach further; and beside the network, for all
    jets, what their mass alone gives: its distance to that of the particle.
    """
    found = wide_discriminants(scores)
    low, high = _ALIKE_GEV
    alike = (jets["pt"] > low) & (jets["pt"] < high)
    name = np.array(WIDE_CLASSES)[jets["label"]]
    plain = np.char.startswith(name, "QCD")
    masses_gev = {"top": 173.0, "w": 80.4, "z": 91.2, "higgs": 125.0, "hbb": 125.0}
    areas, alike_areas, by_mass, efficiencies = {}, {}, {}, {}
    for signal, prefix in _SIGNALS.items():
        chosen = np.char.startswith(name, prefix) & ~np.isin(name, _LEPTONIC)
        areas[signal] = auc(found[signal][chosen], found[signal][plain])
        alike_areas[signal] = auc(found[signal][chosen & alike], found[signal][plain & alike])
        off = -np.abs(jets["mass"] - masses_gev[signal])
        by_mass[signal] = auc(off[chosen], off[plain])
        efficiency, mistag = roc(found[signal][chosen], found[signal][plain])
        efficiencies[signal] = float(np.interp(0.01, mistag, efficiency))
    return {
        "auc_against_qcd": areas,
        f"auc_against_qcd_{low:g}_to_{high:g}_gev": alike_areas,
        "auc_against_qcd_by_mass_alone": by_mass,
        "efficiency_at_mistag_0.01": efficiencies,
        "test_jets_by_signal": {s: int(np.char.startswith(name, p).sum()) for s, p in _SIGNALS.items()},
        "accuracy": float((scores.argmax(axis=1) == jets["label"]).mean()),
    }
