"""The steps of an ensemble: what they take and make, which of them are needed, and whether all of it fits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sonic.errors import ConfigError
from sonic.specs import alike

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import numpy as np

    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Step:
    """One model of an ensemble.

    Parameters
    ----------
    number : int
        Its place in the configuration, from 0.
    model, version : str
        An empty version is the highest there is.
    inputs, outputs : mapping of str to str
        The ensemble's tensor by the model's.
    """

    number: int
    model: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"step {self.number + 1} (model {self.model!r})"


class Graph:
    """The steps of an ensemble.

    Parameters
    ----------
    steps : sequence of Step
    inputs : collection of str
        The ensemble's.

    Raises
    ------
    ConfigError
        If there is no step, a tensor is made twice or by nobody, or steps wait for each other.
    """

    def __init__(self, steps: Sequence[Step], inputs: Collection[str]) -> None:
        if not steps:
            raise ConfigError("the ensemble has no step")
        self.steps = tuple(steps)
        self.makers: dict[str, int] = {}
        for step in steps:
            for name in step.outputs.values():
                if name in inputs:
                    raise ConfigError(f"{step.label} makes tensor {name!r}, which is an input of the ensemble")
                if name in self.makers:
                    first = steps[self.makers[name]].label
                    raise ConfigError(f"tensor {name!r} is made twice: by {first} and by {step.label}")
                self.makers[name] = step.number
        for step in steps:
            for name in step.inputs.values():
                if name not in self.makers and name not in inputs:
                    raise ConfigError(
                        f"{step.label} takes tensor {name!r}, which is made by no step and is no input of the ensemble"
                    )
        self._refuse_cycles()

    def need(self, wanted: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
        """Say which steps run for some of the ensemble's outputs, and for each the outputs of its model in use."""
        used: dict[str, None] = {}
        todo = list(wanted)
        while todo:
            name = todo.pop()
            if name not in used and name in self.makers:
                used[name] = None
                todo += self.steps[self.makers[name]].inputs.values()
        return {
            step.number: tuple(name for name, tensor in step.outputs.items() if tensor in used)
            for step in self.steps
            if any(tensor in used for tensor in step.outputs.values())
        }

    def _refuse_cycles(self) -> None:
        waits = {s.number: {self.makers[t] for t in s.inputs.values() if t in self.makers} for s in self.steps}
        while free := [number for number, others in waits.items() if not others]:
            for number in free:
                del waits[number]
            for others in waits.values():
                others.difference_update(free)
        if waits:
            raise ConfigError(f"steps wait for each other: {', '.join(self.steps[n].label for n in sorted(waits))}")


def graph_of(config: ModelConfig) -> Graph:
    """Read the steps of a configuration.

    Raises
    ------
    ConfigError
        As :class:`Graph`, or if a step names no model or no tensors, or the ensemble has an output that nobody makes.
    """
    steps = []
    for number, each in enumerate(config.ensemble_scheduling.step):
        version = str(each.model_version) if each.model_version > 0 else ""
        step = Step(number, each.model_name, version, dict(each.input_map), dict(each.output_map))
        if not each.model_name:
            raise ConfigError(f"step {number + 1} names no model")
        for what, tensors in (("input_map", step.inputs), ("output_map", step.outputs)):
            if not tensors:
                raise ConfigError(f"{step.label} has no {what}")
        steps.append(step)
    inputs = {tensor.name for tensor in config.input}
    graph = Graph(steps, inputs)
    for tensor in config.output:
        if tensor.name not in graph.makers and tensor.name not in inputs:
            raise ConfigError(f"output {tensor.name!r} is made by no step: they make {', '.join(graph.makers)}")
    return graph


class _End(NamedTuple):
    """One end of a tensor: who makes or takes it, and as what."""

    label: str
    tensor: TensorSpec
    batches: bool


def check(graph: Graph, ensemble: ModelSpec, models: Sequence[ModelSpec]) -> None:
    """Check the steps against the models that there are.

    Parameters
    ----------
    graph : Graph
    ensemble : ModelSpec
        As clients see it.
    models : sequence of ModelSpec
        Of the steps.

    Raises
    ------
    ConfigError
        With the step: it names a tensor that its model does not have, leaves out an input, cannot take a batch of the
        ensemble's, or takes a tensor that has another datatype or shape than it is made with.
    """
    batches = ensemble.max_batch_size > 0
    made = {tensor.name: _End("the ensemble", tensor, batches) for tensor in ensemble.inputs}
    for step, model in zip(graph.steps, models, strict=True):
        _check_names(step, model)
        if 0 < model.max_batch_size < ensemble.max_batch_size:
            raise ConfigError(
                f"{step.label} takes batches of up to {model.max_batch_size} rows, the ensemble's max_batch_size is "
                f"{ensemble.max_batch_size}"
            )
        for name, tensor in step.outputs.items():
            made[tensor] = _End(step.label, model.output(name), model.max_batch_size > 0)
    for step, model in zip(graph.steps, models, strict=True):
        for name, tensor in step.inputs.items():
            taken = model.input(name)
            if made[tensor].tensor.optional and tensor not in graph.makers and not taken.optional:
                raise ConfigError(f"input {tensor!r} is optional, and {step.label} cannot do without {name!r}")
            _check_ends(tensor, made[tensor], _End(step.label, taken, model.max_batch_size > 0))
    for output in ensemble.outputs:
        _check_ends(output.name, made[output.name], _End("the ensemble", output, batches))


def _check_names(step: Step, model: ModelSpec) -> None:
    for what, tensors, known in (("input", step.inputs, model.inputs), ("output", step.outputs, model.outputs)):
        names = [tensor.name for tensor in known]
        for name in tensors:
            if name not in names:
                raise ConfigError(f"{step.label}: the model has no {what} {name!r}, it has {', '.join(names)}")
    for tensor in model.inputs:
        if tensor.name not in step.inputs and not tensor.optional:
            raise ConfigError(f"{step.label}: nothing is mapped to input {tensor.name!r} of the model")


def _check_ends(name: str, made: _End, taken: _End) -> None:
    if made.tensor.dtype is not taken.tensor.dtype:
        raise ConfigError(
            f"tensor {name!r} is {made.tensor.dtype.name} from {made.label} and {taken.tensor.dtype.name} for "
            f"{taken.label}"
        )
    ours, theirs = made.tensor.shape, taken.tensor.shape
    fits = alike(ours, theirs)
    if made.batches and not taken.batches:
        fits = fits or alike(ours[1:], theirs)
    if taken.batches and not made.batches:
        fits = fits or alike(ours, theirs[1:])
    if not fits:
        raise ConfigError(
            f"tensor {name!r} has the shape {list(ours)} from {made.label} and {list(theirs)} for {taken.label}"
        )


def adapt(array: np.ndarray, tensor: TensorSpec, *, batches: bool) -> np.ndarray:
    """Return an array with the batch dimension that a tensor has, as Triton does between models with and without one.

    One is put before an array without, and taken from an array with a single row. An array that does not fit either
    way comes back as it is.
    """
    if tensor.accepts(array.shape):
        return array
    if batches and tensor.accepts((1, *array.shape)):
        return array.reshape(1, *array.shape)
    if not batches and array.ndim and array.shape[0] == 1 and tensor.accepts(array.shape[1:]):
        return array.reshape(array.shape[1:])
    return array
