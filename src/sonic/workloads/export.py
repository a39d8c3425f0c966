"""A network as a model's folder: ONNX or TorchScript, configuration, labels, and what is known of it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
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

from sonic.errors import ConfigError, OutputError
from sonic.files import appearing
from sonic.protocol.digests import store
from sonic.version import __version__
from sonic.workloads.networks.blueprint import labels_file
from sonic.workloads.networks.catalogue import blueprint, ensemble
from sonic.workloads.networks.layers import folded, parameter_count, shake
from sonic.workloads.tabled import tabled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from sonic.workloads.networks.blueprint import Blueprint
    from sonic.workloads.training.loop import Recipe

OPSET = 18
MAX_IR_VERSION = 10
TOLERANCE = 1e-5
"""By how much an export may deviate from PyTorch, relative to the largest output."""
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "pythia8mc", "fastjet", "awkward")

FORMATS = {"onnx": ("onnxruntime_onnx", "model.onnx"), "torchscript": ("pytorch_libtorch", "model.pt")}
"""Platform and file of each format that networks are exported to."""

Program = onnx.ModelProto | torch.jit.ScriptModule


def random_network(name: str, width: float, seed: int) -> nn.Module:
    """Return a network of the zoo with random weights and statistics, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = blueprint(name).make(width)
        shake(network)
    return network.eval()


def example_inputs(name: str, rows: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Random inputs of the served shapes; rows are the batch, or the hits of an event."""
    return blueprint(name).example(rows, np.random.default_rng(seed))


def to_onnx(plan: Blueprint, network: nn.Module) -> onnx.ModelProto:
    """Return a network for inference as an ONNX model, its batch or lengths free, its normalisations folded in."""
    arrays = plan.example(3, np.random.default_rng(0))
    shapes = _dynamic(plan)
    # The exporter reports its steps on stdout, in thousands of records and in warnings of packages that are not used.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.__trace", "onnxscript", "onnx_ir")]
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
                dynamic_shapes=shapes,
                input_names=list(arrays),
                output_names=[output.name for output in plan.outputs],
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


def to_torchscript(plan: Blueprint, network: nn.Module) -> torch.jit.ScriptModule:
    """Return a network for inference as TorchScript, its normalisations folded in."""
    tensors = tuple(torch.from_numpy(a) for a in plan.example(3, np.random.default_rng(0)).values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that TorchScript is to go, and what a trace might hold fast: we compare
        traced: torch.jit.ScriptModule = torch.jit.trace(folded(network), tensors, check_trace=False)  # type: ignore[no-untyped-call]
    return traced


def deviation(plan: Blueprint, network: nn.Module, program: Program, rows: int = 32) -> NDArray[np.float64]:
    """Largest deviation of an export from PyTorch in each row of each output, relative to the output's largest.

    A few rows can deviate by more than rounding: where two neighbours are equally far to rounding, either may be
    chosen.
    """
    arrays = plan.example(rows, np.random.default_rng(1))
    tensors = [torch.from_numpy(a) for a in arrays.values()]
    ours: Any
    with torch.no_grad():
        theirs = network.eval()(*tensors)
        if isinstance(program, torch.jit.ScriptModule):
            ours = program(*tensors)
        else:
            session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
            ours = tuple(torch.from_numpy(a) for a in session.run(None, arrays))
    if isinstance(theirs, torch.Tensor):
        theirs, ours = (theirs,), ours if isinstance(ours, tuple) else (ours,)
    found = []
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise OutputError(f"the export gives shape {tuple(a.shape)}, expected {tuple(b.shape)}")
        largest = b.abs().max().clamp(min=torch.finfo(b.dtype).tiny)
        found.append(((a - b).abs().reshape(len(a), -1).amax(1).double() / largest).numpy())
    return np.concatenate(found)


def write(
    name: str,
    network: nn.Module,
    target: Path,
    metrics: Mapping[str, Any],
    *,
    format: str = "onnx",  # noqa: A002 - as the option is called
    replace: bool = False,
    plan: Blueprint | None = None,
    table: int | None = None,
) -> Path:
    """Write a model's folder: the export, ``config.pbtxt`` with checksums, labels, and ``metrics.json``.

    Parameters
    ----------
    name : str
        Of the model.
    network : nn.Module
    target : Path
        The model's folder.
    metrics : mapping
        What is known of the weights.
    format : {"onnx", "torchscript"}
    replace : bool
        Whether a folder that is there already is removed first.
    plan : Blueprint, optional
        The zoo's of that name unless given.
    table : int, optional
        Seed of the table that the weights become slices of; see :mod:`sonic.workloads.tabled`.

    Raises
    ------
    OutputError
        If the export gives something else than PyTorch, or the folder cannot be written.
    """
    plan = plan or blueprint(name)
    platform_, filename = FORMATS[format]
    program: Program = to_onnx(plan, network) if format == "onnx" else to_torchscript(plan, network)
    deviations = deviation(plan, network, program, rows=4)
    if not np.median(deviations) < TOLERANCE:
        raise OutputError(f"{target}: the export deviates from PyTorch by {np.median(deviations):.1e} (median)")
    known = dict(metrics) | {
        "parameters": parameter_count(network),
        f"{format}_against_pytorch_median": float(np.median(deviations)),
    }
    if replace:
        shutil.rmtree(target, ignore_errors=True)
    with appearing(target) as work:
        file = work / "1" / filename
        file.parent.mkdir()
        if isinstance(program, torch.jit.ScriptModule):
            program.save(file)
        else:
            model = program if table is None else tabled(program, table)
            file.write_bytes(model.SerializeToString())
        _describe(plan, work, plan.config_pbtxt(name, platform_), known)
    return target


def write_random(
    name: str,
    repository: Path,
    width: float,
    seed: int,
    format: str,  # noqa: A002
    *,
    table: bool = False,
) -> Path:
    """Write a network with random weights, or those of a table, into a repository; of an ensemble its steps, too.

    Raises
    ------
    ConfigError
        If a table or an ensemble is asked for in another format than ONNX.
    OutputError
        If the export gives something else than PyTorch, or a folder cannot be written or is there already.
    """
    network = random_network(name, width, seed)
    weights = "random, of a table, for measuring speed alone" if table else "random, for measuring speed alone"
    known = {"network": name, "width": width, "weights": weights, "seed": seed}
    target = repository / name
    parts = ensemble(name, width)
    if table and format != "onnx":
        raise ConfigError(f"{name}: weights of a table are built as onnx, not as {format}")
    of_table = seed if table else None
    if parts is None:
        return write(name, network, target, known, format=format, table=of_table)
    if format != "onnx":
        raise ConfigError(f"{name}: the steps of an ensemble are built as onnx, not as {format}")
    for step in parts.steps:
        if (repository / step.name).exists():
            raise OutputError(f"{repository / step.name} is there already")
    for step in parts.steps:
        write(step.name, step.part(network), repository / step.name, known, plan=step.blueprint, table=of_table)
    with appearing(target) as work:
        (work / "1").mkdir()
        known = known | {"parameters": parameter_count(network)}
        _describe(parts.whole, work, parts.config_pbtxt(name), known)
    return target


def _dynamic(plan: Blueprint) -> list[dict[int, Any]]:
    dims: dict[str, Any] = {}
    shapes = []
    for given in plan.inputs:
        names = ("batch", *given.dims) if plan.max_batch_size else given.dims
        varying = {axis: name for axis, name in enumerate(names) if isinstance(name, str)}
        shapes.append({axis: dims.setdefault(name, torch.export.Dim(name, min=1)) for axis, name in varying.items()})
    return shapes


def _describe(plan: Blueprint, target: Path, config: str, known: Mapping[str, Any]) -> None:
    for output in plan.outputs:
        if output.labels:
            (target / labels_file(output)).write_text("\n".join(output.labels) + "\n")
    (target / "config.pbtxt").write_text(config)
    store(target)
    (target / "metrics.json").write_text(json.dumps(_without_nan(known), indent=2, allow_nan=False) + "\n")


def _without_nan(value: Any) -> Any:
    """Put None, which JSON has, for numbers that are not finite, which it has not, in lists and mappings too."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def card(name: str, recipe: Recipe, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what is kept of a training: recipe, data, versions, machine and figures of merit."""
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
        **metrics,
    }
