"""Models made of other models: ``ensemble_scheduling`` in config.pbtxt.

A step is a model of the same server, found by name and version when a request comes: it can be reloaded in between.
Steps hand numpy arrays to each other; nothing is serialised, and nothing copied that the models do not copy. Each step
is a request to its model like any other, with its batching, queue policy and statistics. The ensemble is loaded after
its steps, and checked against them then; it is loaded anew when one of them is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sonic.errors import ConfigError, SonicError
from sonic.protocol.modelconfig import to_spec
from sonic.server.backends.base import Backend
from sonic.server.backends.ensemble.graph import check, graph_of
from sonic.server.backends.ensemble.scheduler import EnsembleScheduler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.protocol.proto.model_config_pb2 import ModelInput, ModelOutput
    from sonic.server.backends.base import LoadContext, Loaded, Models
    from sonic.server.execution.instances import Instance
    from sonic.specs import ModelSpec


class EnsembleBackend(Backend):
    """One version of an ensemble."""

    platform: ClassVar[str] = "ensemble"

    def __init__(self, context: LoadContext) -> None:
        config = context.config
        if not config.HasField("ensemble_scheduling"):
            raise ConfigError("platform 'ensemble' and ensemble_scheduling go together")
        if context.models is None:
            raise ConfigError("an ensemble needs the other models of a server")
        if config.instance_group:
            raise ConfigError("an ensemble has no instances: an instance_group belongs to the models of its steps")
        tensors: tuple[ModelInput | ModelOutput, ...] = (*config.input, *config.output)
        for tensor in tensors:
            if tensor.HasField("reshape"):
                raise ConfigError(f"tensor {tensor.name!r} of an ensemble cannot be reshaped: those of its steps can")
        if not config.input or not config.output:
            raise ConfigError("an ensemble needs a config.pbtxt with input and output")
        self._models = context.models
        self._graph = graph_of(config)
        self._specs: list[ModelSpec] = []
        self._labels: dict[str, Sequence[str]] = {}
        for step in self._graph.steps:
            try:
                model = self._models.require(step.model, step.version)
                _refuse_itself(context.name, model, self._models)
            except SonicError as error:
                raise ConfigError(f"{step.label}: {error}") from error
            self._specs.append(model.spec)
            self._labels |= {step.outputs[name]: model.labels[name] for name in step.outputs if name in model.labels}
        check(self._graph, to_spec(config, context.version), self._specs)

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return those that the models of the steps have for what they make."""
        return self._labels

    def instances(self) -> Sequence[Instance]:
        """Return none: its steps are executed by those of their models."""
        return ()

    def scheduler(self, spec: ModelSpec) -> EnsembleScheduler:
        """Return what runs the steps."""
        return EnsembleScheduler(spec, self._graph, self._specs, self._models)


def _refuse_itself(name: str, model: Loaded, models: Models) -> None:
    """Raise ConfigError if a model is made of the one of this name, which is loaded again with other steps."""
    for step in model.config.ensemble_scheduling.step:
        if step.model_name == name:
            raise ConfigError(f"models are made of each other: {name} -> {model.spec.name} -> {name}")
        _refuse_itself(name, models.require(step.model_name), models)
