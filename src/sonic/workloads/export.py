"""A trained network as a model's folder: ONNX, configuration, and what is known of it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import platform
import shutil
import warnings
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch

from sonic.errors import OutputError
from sonic.protocol.digests import store
from sonic.version import __version__
from sonic.workloads import features
from sonic.workloads.networks.deepmet import DeepMET, DeepMETConfig
from sonic.workloads.networks.layers import folded
from sonic.workloads.networks.particlenet import ParticleNet, ParticleNetConfig
from sonic.workloads.simulation.processes import PROCESSES
from sonic.workloads.truth import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from sonic.workloads.training.loop import Recipe

OPSET = 18
MAX_IR_VERSION = 10
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "pythia8mc", "fastjet", "awkward")

_PARTICLENET_CONFIG = """\
# ParticleNet for AK4 jets. Outputs: {classes}.
name: "particlenet-ak4"
platform: "onnxruntime_onnx"
max_batch_size: 500
input [
  {{ name: "pf_points" data_type: TYPE_FP32 dims: [ 2, {particles} ] }},
  {{ name: "pf_features" data_type: TYPE_FP32 dims: [ {pf_features}, {particles} ] }},
  {{ name: "pf_mask" data_type: TYPE_FP32 dims: [ 1, {particles} ] }},
  {{ name: "sv_points" data_type: TYPE_FP32 dims: [ 2, {vertices} ] }},
  {{ name: "sv_features" data_type: TYPE_FP32 dims: [ {sv_features}, {vertices} ] }},
  {{ name: "sv_mask" data_type: TYPE_FP32 dims: [ 1, {vertices} ] }}
]
output [
  {{ name: "softmax" data_type: TYPE_FP32 dims: [ {outputs} ] }}
]
dynamic_batching {{ preferred_batch_size: [ 200 ] }}
# A jet keeps at least two rows throughout the network, so merging changes no bit of its result.
parameters {{ key: "merge" value {{ string_value: "always" }} }}
"""

_DEEPMET_CONFIG = """\
# DeepMET. Output: missing momentum's x and y components in units of {scale:g} GeV.
name: "deepmet"
platform: "onnxruntime_onnx"
max_batch_size: 32
input [
  {{ name: "input" data_type: TYPE_FP32 dims: [ {candidates}, {met_features} ] }},
  {{ name: "input_cat0" data_type: TYPE_INT32 dims: [ {candidates}, 1 ] }},
  {{ name: "input_cat1" data_type: TYPE_INT32 dims: [ {candidates}, 1 ] }},
  {{ name: "input_cat2" data_type: TYPE_INT32 dims: [ {candidates}, 1 ] }}
]
output [
  {{ name: "output" data_type: TYPE_FP32 dims: [ 2 ] }}
]
dynamic_batching {{ }}
"""


def random_network(name: str, width: float, seed: int) -> ParticleNet | DeepMET:
    """Return a network of the zoo with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: ParticleNet | DeepMET
        if name == "particlenet-ak4":
            network = ParticleNet(ParticleNetConfig.scaled(width))
        else:
            network = DeepMET(DeepMETConfig.scaled(width))
    network.eval()
    return network


def parameter_count(network: nn.Module) -> int:
    """Weights, and running means and variances."""
    statistics = sum(b.numel() for name, b in network.named_buffers() if name.endswith(("_mean", "_var")))
    return statistics + sum(p.numel() for p in network.parameters())


def config_pbtxt(network: ParticleNet | DeepMET) -> str:
    """Return the model's configuration."""
    sizes = {
        "classes": ", ".join(CLASSES),
        "particles": features.MAX_PARTICLES,
        "vertices": features.MAX_VERTICES,
        "pf_features": len(features.PF_FEATURES),
        "sv_features": len(features.SV_FEATURES),
        "outputs": len(CLASSES),
        "candidates": features.MAX_CANDIDATES,
        "met_features": len(features.MET_FEATURES),
        "scale": features.MET_SCALE_GEV,
    }
    text = _PARTICLENET_CONFIG if isinstance(network, ParticleNet) else _DEEPMET_CONFIG
    return text.format(**sizes)


def example_inputs(network: ParticleNet | DeepMET, rows: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Random inputs of the served shapes, some of each row padding."""
    rng = np.random.default_rng(seed)
    if isinstance(network, DeepMET):
        there = np.arange(features.MAX_CANDIDATES) < rng.integers(1, features.MAX_CANDIDATES, (rows, 1))
        values = rng.normal(size=(rows, features.MAX_CANDIDATES, len(features.MET_FEATURES)))
        values[:, :, features.MET_PT] = np.abs(values[:, :, features.MET_PT]) + 0.01
        arrays = {"input": (values * there[:, :, None]).astype(np.float32)}
        for i, size in enumerate(features.MET_VOCABULARIES):
            arrays[f"input_cat{i}"] = (rng.integers(0, size, there.shape) * there)[:, :, None].astype(np.int32)
        return arrays
    arrays = {}
    for kind, points, count, fewest in (
        ("pf", features.MAX_PARTICLES, len(features.PF_FEATURES), 1),
        ("sv", features.MAX_VERTICES, len(features.SV_FEATURES), 0),
    ):
        there = np.arange(points) < rng.integers(fewest, points + 1, (rows, 1))
        for what, channels in (("points", 2), ("features", count)):
            values = rng.normal(size=(rows, channels, points)) * there[:, None]
            arrays[f"{kind}_{what}"] = values.astype(np.float32)
        arrays[f"{kind}_mask"] = there[:, None].astype(np.float32)
    return arrays


def to_onnx(network: ParticleNet | DeepMET) -> onnx.ModelProto:
    """Return the network for inference as an ONNX model with a free batch dimension, normalisations folded in."""
    arrays = example_inputs(network, 3)
    batch = torch.export.Dim("batch", min=1, max=4096)
    output = "softmax" if isinstance(network, ParticleNet) else "output"
    # The exporter reports its steps on stdout and in warnings about packages that are not used.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                folded(network),
                tuple(torch.from_numpy(a) for a in arrays.values()),
                dynamo=True,
                dynamic_shapes=[{0: batch}] * len(arrays),
                input_names=list(arrays),
                output_names=[output],
                opset_version=OPSET,
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    if program is None:
        raise OutputError("PyTorch exported no ONNX program")
    model: Any = program.model_proto
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    for node in model.graph.node:  # the exporter leaves this machine's file names in the nodes
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    exported: onnx.ModelProto = model
    return exported


def deviation(network: ParticleNet | DeepMET, model: onnx.ModelProto, rows: int = 32) -> NDArray[np.float64]:
    """Largest deviation of ONNX Runtime from PyTorch in each of some random rows, relative to the largest output.

    A few rows can deviate by more than rounding: where two neighbours are equally far to rounding, either may be
    chosen.
    """
    arrays = example_inputs(network, rows, seed=1)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, arrays)
    with torch.no_grad():
        theirs = network.eval()(*(torch.from_numpy(a) for a in arrays.values())).numpy()
    found: NDArray[np.float64] = np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max()
    return found


def write(network: ParticleNet | DeepMET, target: Path, metrics: Mapping[str, Any], *, replace: bool = False) -> Path:
    """Write a model's folder: ``1/model.onnx``, ``config.pbtxt`` with its checksum, and ``metrics.json``.

    Raises
    ------
    OutputError
        If ONNX Runtime gives something else than PyTorch, or the folder cannot be written.
    """
    model = to_onnx(network)
    deviations = deviation(network, model)
    if not np.median(deviations) < 1e-5:
        raise OutputError(f"{target}: ONNX Runtime deviates from PyTorch by {np.median(deviations):.1e} (median)")
    try:
        if replace and target.exists():
            shutil.rmtree(target)
        (target / "1").mkdir(parents=True)
        (target / "1" / "model.onnx").write_bytes(model.SerializeToString())
        (target / "config.pbtxt").write_text(config_pbtxt(network))
        store(target)
        known = dict(metrics) | {
            "parameters": parameter_count(network),
            "onnx_against_pytorch_median": float(np.median(deviations)),
        }
        (target / "metrics.json").write_text(json.dumps(known, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{target} could not be written: {error}") from error
    return target


def card(name: str, recipe: Recipe, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what is kept of a training: recipe, data, versions, machine and figures of merit."""
    share = "met_share" if name == "deepmet" else "tagger_share"
    versions = {"sonic": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    device = torch.cuda.get_device_name() if recipe.device == "cuda" else platform.processor() or platform.machine()
    return {
        "network": name,
        "width": recipe.width,
        "weights": "trained on generated events",
        "recipe": asdict(recipe),
        "device": f"{recipe.device} ({device}, {recipe.cores} cores)",
        "versions": versions,
        "processes": {p.name: getattr(p, share) for p in PROCESSES if getattr(p, share)},
        **metrics,
    }
