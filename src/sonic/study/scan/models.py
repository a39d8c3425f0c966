"""The models that a server of a scan serves: networks of the zoo, or a user's, with other configurations."""

from __future__ import annotations

import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, OutputError
from sonic.framework.graph import similar
from sonic.protocol.modelconfig import write
from sonic.protocol.modelfolder import CONFIG_NAME, read_config
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup
from sonic.server.models.folders import model_folders
from sonic.workloads import MODELS, zoo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.study.records import Setting

_KINDS = {"cpu": ModelInstanceGroup.KIND_CPU, "gpu": ModelInstanceGroup.KIND_GPU}
_FORMATS = {"onnxruntime": "onnx", "pytorch": "torchscript", "python": "onnx"}

_MODEL_PY = """
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        file = str(Path(__file__).with_name("model.onnx"))
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.answer(request)) for request in requests]

    def answer(self, request):
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        arrays = self.session.run(self.outputs, inputs)
        return [pb_utils.Tensor(name, array) for name, array in zip(self.outputs, arrays)]
"""


def build(folder: Path, target: str, settings: Mapping[str, Setting], base: Path) -> tuple[str, ...]:
    """Fill a folder with a model as the settings want it, and its copies.

    Parameters
    ----------
    folder : Path
        Empty.
    target : str
        A model in the folder that ``models`` names, or a network of the zoo.
    settings : mapping of str to Setting
        Those of :data:`~sonic.study.scan.settings.KNOWN` that concern the server.
    base : Path
        What ``models`` is relative to.

    Returns
    -------
    tuple of str
        Names of the copies, the model itself first.

    Raises
    ------
    ConfigError
        If there is no such model, or a setting does not go with it.
    OutputError
        If the folder cannot be written.
    """
    try:
        found = source(target, settings, base)
        if is_workflow(target):
            for path in model_folders(repository_of(settings, base)):
                _link_one(folder, path)
        elif found is not None and "models" in settings:
            _link(folder, found)
        else:
            _from_zoo(folder, target, settings)
        for path in sorted(folder.iterdir()):
            config, before = read_config(path), read_config(path)
            if not config.HasField("ensemble_scheduling"):
                change(config, settings)
            if config != before:  # a model without a configuration is another one with an empty one
                (path / CONFIG_NAME).write_text(write(config))
        return _copy(folder, target, int(settings.get("copies", 1)))
    except OSError as error:
        raise OutputError(f"the models of a scan could not be written to {folder}: {error}") from error


def source(target: str, settings: Mapping[str, Setting], base: Path) -> Path | None:
    """Return the folder of the model that is there already; None for random weights and the models of a workflow.

    Parameters
    ----------
    target, settings, base
        See :func:`build`.

    Raises
    ------
    ConfigError
        If there is no such model, a setting does not go with it, or a package is missing to make it.
    """
    if is_workflow(target):
        _refuse(settings, ("backend", "weights", "width", "copies"), f"models, and {target} is a workflow")
        return None
    if "models" in settings:
        repository = repository_of(settings, base)
        _refuse(settings, ("backend", "weights", "width"), f"networks of the zoo, but models is {repository}")
        there = {path.name: path for path in model_folders(repository)}
        if target not in there:
            raise ConfigError(f"{repository} has no model {target}{similar(target, there)}")
        return there[target]
    how = _how(settings)
    zoo.check(target, **how)
    return MODELS / target if how["weights"] == "trained" else None


def repository_of(settings: Mapping[str, Setting], base: Path) -> Path:
    """Return the folder of models that settings name, or else that of those that ship."""
    return Path(base, str(settings.get("models", MODELS)))


def is_workflow(target: str) -> bool:
    """Whether a target is a workflow: its server serves all the models that there are."""
    return target.endswith(".py") or bool(entry_points(group="sonic.workflows", name=target))


def change(config: ModelConfig, settings: Mapping[str, Setting]) -> None:
    """Change a model's configuration as settings want it; what they do not mention stays.

    Parameters
    ----------
    config : ModelConfig
    settings : mapping of str to Setting
        Of these ``instances``, ``kind``, ``batching``, ``batch``, ``preferred`` and ``delay_us``.
    """
    if "instances" in settings or "kind" in settings:
        first = config.instance_group[0] if config.instance_group else ModelInstanceGroup(count=1)
        kind = _KINDS[str(settings["kind"])] if "kind" in settings else first.kind
        count = int(settings.get("instances", max(first.count, 1)))
        del config.instance_group[:]
        config.instance_group.add(count=count, kind=kind)
    if "batch" in settings:
        config.max_batch_size = int(settings["batch"])
        kept = [rows for rows in config.dynamic_batching.preferred_batch_size if rows <= config.max_batch_size]
        if kept != list(config.dynamic_batching.preferred_batch_size):
            config.dynamic_batching.preferred_batch_size[:] = kept
    if settings.get("batching") is False:
        config.ClearField("dynamic_batching")
        return
    if settings.get("batching"):
        config.dynamic_batching.SetInParent()
    if "delay_us" in settings:
        config.dynamic_batching.max_queue_delay_microseconds = int(settings["delay_us"])
    if "preferred" in settings:
        config.dynamic_batching.preferred_batch_size[:] = [int(part) for part in str(settings["preferred"]).split(",")]


def _how(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return how the zoo is to build a network."""
    return {
        "weights": str(settings.get("weights", "trained")),
        "width": float(settings.get("width", 1.0)),
        "format": _FORMATS[str(settings.get("backend", "onnxruntime"))],
    }


def _from_zoo(folder: Path, target: str, settings: Mapping[str, Setting]) -> None:
    made = zoo.build(target, folder, **_how(settings))
    if settings.get("backend") == "python":
        config = read_config(made)
        if config.HasField("ensemble_scheduling"):
            raise ConfigError(f'{target} is an ensemble: backend = "python" is for single networks')
        config.platform, config.backend = "", "python"
        (made / CONFIG_NAME).write_text(write(config))
        (made / "1" / "model.py").write_text(_MODEL_PY)


def _link(folder: Path, model: Path) -> None:
    """Link a model of a repository, and an ensemble's steps."""
    there = {path.name: path for path in model_folders(model.parent)}
    _link_one(folder, model)
    for step in read_config(model).ensemble_scheduling.step:
        if step.model_name in there and not (folder / step.model_name).exists():
            _link_one(folder, there[step.model_name])


def _refuse(settings: Mapping[str, Setting], names: tuple[str, ...], why: str) -> None:
    for name in names:
        if name in settings:
            raise ConfigError(f"{name} is for {why}")


def _link_one(folder: Path, model: Path, name: str = "") -> None:
    """Make a folder for a model whose versions are the given one's; they can have gigabytes."""
    made = folder / (name or model.name)
    made.mkdir()
    for path in model.iterdir():
        if path.is_dir():
            (made / path.name).symlink_to(path.resolve())
        else:  # labels and the like must lie in the model's folder
            shutil.copyfile(path, made / path.name)


def _copy(folder: Path, target: str, copies: int) -> tuple[str, ...]:
    names = (target, *(f"{target}-{number}" for number in range(2, copies + 1)))
    for name in names[1:]:
        _link_one(folder, folder / target, name)
        config = read_config(folder / target)
        config.name = name
        (folder / name / CONFIG_NAME).write_text(write(config))
    return names
