"""What a network's file says beside its layers: how it is made, and how it is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

_TYPES = {"float32": "TYPE_FP32", "float64": "TYPE_FP64", "int32": "TYPE_INT32", "int64": "TYPE_INT64"}


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a served network.

    Parameters
    ----------
    name : str
        Of the argument of ``forward``, too.
    dims : tuple of int or str
        Its shape without the batch; a text names a dimension that varies from request to request.
    dtype : str
        Of numpy.
    """

    name: str
    dims: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a served network.

    Parameters
    ----------
    name : str
    dims : tuple of int or str
        As of an :class:`Input`.
    labels : tuple of str
        What its elements are, if they are classes.
    dtype : str
        Of numpy.
    """

    name: str
    dims: tuple[int | str, ...]
    labels: tuple[str, ...] = ()
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """How one network is made and served.

    Parameters
    ----------
    about : str
        One line for the configuration.
    make : callable of float
        The network, its channels scaled by that; 1 is the published size.
    example : callable of (rows, generator)
        Random arguments of ``forward`` by name, in its order; `rows` is the batch, or the hits of an event.
    inputs, outputs : tuple of Input, tuple of Output
        In the order of ``forward``'s arguments and results.
    max_batch_size : int
        Most rows of an execution; 0 for a network that takes one event of any length.
    preferred : tuple of int
        Batches that the server aims at.
    delay_us : int
        How long it may wait for one.
    parameters : mapping of str to str
        Of the model, for the server.
    remark : str
        Why they are as they are, for the configuration.
    """

    about: str
    make: Callable[[float], nn.Module]
    example: Callable[[int, np.random.Generator], dict[str, NDArray[Any]]]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    max_batch_size: int = 0
    preferred: tuple[int, ...] = ()
    delay_us: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def config_pbtxt(self, name: str, platform: str) -> str:
        """Return the model's configuration.

        Parameters
        ----------
        name : str
        platform : str
            ``onnxruntime_onnx``, ``pytorch_libtorch`` or ``ensemble``. The second has outputs with their number.
        """
        lines = [f"# {self.about}", f'name: "{name}"', f'platform: "{platform}"']
        lines.append(f"max_batch_size: {self.max_batch_size}")
        inputs = [_tensor(i.name, i.dtype, i.dims) for i in self.inputs]
        numbered = platform == "pytorch_libtorch"
        outputs = [
            _tensor(f"{o.name}__{i}" if numbered else o.name, o.dtype, o.dims, labels_file(o) if o.labels else "")
            for i, o in enumerate(self.outputs)
        ]
        for kind, tensors in (("input", inputs), ("output", outputs)):
            lines += [f"{kind} [", ",\n".join(f"  {{ {tensor} }}" for tensor in tensors), "]"]
        if self.max_batch_size and platform != "ensemble":
            sizes = ", ".join(map(str, self.preferred))
            aims = f"preferred_batch_size: [ {sizes} ] " if sizes else ""
            delay = f"max_queue_delay_microseconds: {self.delay_us} " if self.delay_us else ""
            lines.append(f"dynamic_batching {{ {aims}{delay}}}")
        if self.parameters and platform == "onnxruntime_onnx":
            lines += [f"# {self.remark}"] if self.remark else []
            for key, value in self.parameters.items():
                lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}')
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Step:
    """A model of an ensemble: a part of a network, and which part."""

    name: str
    blueprint: Blueprint
    part: Callable[[nn.Module], nn.Module]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A network that is served in parts, which together give what it gives.

    Parameters
    ----------
    whole : Blueprint
        The network, and the inputs and outputs of the ensemble.
    steps : tuple of Step
        A tensor of the same name in two of them is the same tensor.
    """

    whole: Blueprint
    steps: tuple[Step, ...]

    def config_pbtxt(self, name: str) -> str:
        """Return the ensemble's configuration."""
        lines = ["ensemble_scheduling {"]
        for step in self.steps:
            lines += ["  step {", f'    model_name: "{step.name}"', "    model_version: -1"]
            for kind, tensors in (("input", step.blueprint.inputs), ("output", step.blueprint.outputs)):
                lines += [f'    {kind}_map {{ key: "{t.name}" value: "{t.name}" }}' for t in tensors]
            lines.append("  }")
        return self.whole.config_pbtxt(name, "ensemble") + "\n".join([*lines, "}"]) + "\n"


def labels_file(output: Output) -> str:
    """Return the name of the file with an output's labels."""
    return f"{output.name}.labels.txt"


def normal(inputs: tuple[Input, ...]) -> Callable[[int, np.random.Generator], dict[str, NDArray[Any]]]:
    """Return an example of normal numbers for inputs of fixed shapes."""

    def example(rows: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        shapes = {i.name: (rows, *(d for d in i.dims if isinstance(d, int))) for i in inputs}
        return {i.name: rng.normal(size=shapes[i.name]).astype(i.dtype) for i in inputs}

    return example


def _tensor(name: str, dtype: str, dims: tuple[int | str, ...], labels: str = "") -> str:
    shape = ", ".join(str(d) if isinstance(d, int) else "-1" for d in dims)
    labelled = f' label_filename: "{labels}"' if labels else ""
    return f'name: "{name}" data_type: {_TYPES[dtype]} dims: [ {shape} ]{labelled}'
