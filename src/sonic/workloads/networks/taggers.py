"""ParticleNet as it is served: for AK4 jets, and for AK8 jets.

AK8: 25 features of 100 particles and 11 of 10 secondary vertices, 16 neighbours, and 20 classes of boosted tops, W, Z,
Higgs and plain jets. The 587,047 parameters that CMS's graph counts are these 587,044 and three constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads import features
from sonic.workloads.networks.blueprint import Blueprint, Input, Output
from sonic.workloads.networks.particlenet import ParticleNet, ParticleNetConfig
from sonic.workloads.truth import CLASSES, WIDE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

AK8 = ParticleNetConfig(
    pf_features=len(features.WIDE_PF_FEATURES),
    edge_channels=((64, 64, 64), (128, 128, 128), (256, 256, 256)),
    neighbours=16,
    fusion=384,
    hidden=256,
    classes=len(WIDE_CLASSES),
)


def _example(
    particles: int, vertices: int, config: ParticleNetConfig
) -> Callable[[int, np.random.Generator], dict[str, NDArray[Any]]]:
    def example(rows: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        arrays = {}
        for kind, points, count, fewest in (
            ("pf", particles, config.pf_features, 1),
            ("sv", vertices, config.sv_features, 0),
        ):
            there = np.arange(points) < rng.integers(fewest, points + 1, (rows, 1))
            for what, channels in (("points", 2), ("features", count)):
                values = rng.normal(size=(rows, channels, points)) * there[:, None]
                arrays[f"{kind}_{what}"] = values.astype(np.float32)
            arrays[f"{kind}_mask"] = there[:, None].astype(np.float32)
        return arrays

    return example


def _blueprint(
    about: str,
    config: ParticleNetConfig,
    particles: int,
    vertices: int,
    labels: tuple[str, ...],
    max_batch_size: int,
    preferred: tuple[int, ...],
) -> Blueprint:
    inputs = []
    for kind, points, count in (("pf", particles, config.pf_features), ("sv", vertices, config.sv_features)):
        for what, channels in (("points", 2), ("features", count), ("mask", 1)):
            inputs.append(Input(f"{kind}_{what}", (channels, points)))
    return Blueprint(
        about=about,
        make=lambda width: ParticleNet(config.times(width)),
        example=_example(particles, vertices, config),
        inputs=tuple(inputs),
        outputs=(Output("softmax", (len(labels),), labels),),
        max_batch_size=max_batch_size,
        preferred=preferred,
        parameters={"merge": "always"},
        remark="A jet keeps at least two rows throughout the network, so merging changes no bit of its result.",
    )


BLUEPRINTS = {
    "particlenet-ak4": _blueprint(
        "ParticleNet for AK4 jets.",
        ParticleNetConfig(),
        features.MAX_PARTICLES,
        features.MAX_VERTICES,
        CLASSES,
        500,
        (200,),
    ),
    "particlenet-ak8": _blueprint(
        "ParticleNet for AK8 jets.",
        AK8,
        features.WIDE_MAX_PARTICLES,
        features.WIDE_MAX_VERTICES,
        WIDE_CLASSES,
        200,
        (80,),
    ),
}
