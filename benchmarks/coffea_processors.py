"""One processor of coffea's, with either wrapper: what `coffea_runner` measures. Needs coffea and tritonclient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.ml_tools import triton_wrapper
from coffea.processor import ProcessorABC

from sonic.coffea import TritonWrapper

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES = ("pt", "eta", "phi", "mass", *(f"f{i}" for i in range(12)))
PF, SV = 50, 5


class Dense:
    """Jets for a small dense network: one row of numbers each."""

    def prepare_awkward(self, jets: Any) -> Any:
        """Stack the features."""
        flat = ak.flatten(jets)
        columns = [ak.values_astype(flat[name], np.float32)[:, None] for name in FEATURES]
        return (["score"], {"features": ak.concatenate(columns, axis=1)}), {}

    def postprocess_awkward(self, return_array: Mapping[str, Any], jets: Any) -> Any:
        """Give each jet its scores."""
        return ak.unflatten(return_array["score"], ak.num(jets))


class ParticleNet(Dense):
    """Jets for ParticleNet: as many numbers each as it takes, made from a few."""

    def prepare_awkward(self, jets: Any) -> Any:
        """Spread the features over particles and vertices."""
        flat = ak.flatten(jets)
        seed = np.stack([ak.to_numpy(flat[name]) for name in FEATURES], axis=1).astype(np.float32) / 100
        made = {}
        for kind, features, size in (("pf", 20, PF), ("sv", 11, SV)):
            made[f"{kind}_points"] = np.resize(np.sin(seed[:, :10]), (len(seed), 2, size))
            made[f"{kind}_features"] = np.resize(np.cos(seed), (len(seed), features, size))
            made[f"{kind}_mask"] = np.ones((len(seed), 1, size), np.float32)
        return (["softmax"], {name: ak.from_numpy(array) for name, array in made.items()}), {}

    def postprocess_awkward(self, return_array: Mapping[str, Any], jets: Any) -> Any:
        """Give each jet its scores."""
        return ak.unflatten(return_array["softmax"], ak.num(jets))


class DenseByCoffea(Dense, triton_wrapper):
    """As coffea calls it."""


class DenseBySonic(Dense, TritonWrapper):
    """As Sonic calls it."""


class ParticleNetByCoffea(ParticleNet, triton_wrapper):
    """As coffea calls it."""


class ParticleNetBySonic(ParticleNet, TritonWrapper):
    """As Sonic calls it."""


class Tagging(ProcessorABC):
    """Selects jets, has them tagged, and sums what comes back."""

    def __init__(self, tagger: Any) -> None:
        self.tagger = tagger

    def process(self, events: Any) -> dict[str, Any]:
        """Process one chunk."""
        jets = events.Jet[events.Jet.pt > 20]
        scores = self.tagger(jets)
        return {"events": len(events), "jets": int(ak.count(jets.pt)), "sum": float(ak.sum(scores * scores))}

    def postprocess(self, accumulator: Any) -> Any:
        """Leave it as it is."""
        return accumulator
