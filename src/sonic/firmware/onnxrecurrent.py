"""ONNX's recurrent operators, and what surrounds them: sequences have their steps first and their rows second."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import Recurrent
from sonic.firmware.onnxparts import Tensor, sizes_with_batch
from sonic.firmware.onnxreader import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Weights = NDArray[np.float64]

_ONNX_LSTM = (0, 2, 3, 1)
"""Our gates i, f, c, o among ONNX's i, o, f, c."""
_ACTIVATIONS = {"gru": [b"Sigmoid", b"Tanh"], "lstm": [b"Sigmoid", b"Tanh", b"Tanh"]}


class RecurrentReader(Reader):
    """A reader that knows recurrent networks."""

    def _on_gru(self, node: Any, attributes: dict[str, Any]) -> None:
        if not attributes.get("linear_before_reset", 0):
            raise ConfigError("firmware's gate r multiplies what the state gives: linear_before_reset is to be 1")
        self._recurrent(node, attributes, "gru", (0, 1, 2))

    def _on_lstm(self, node: Any, attributes: dict[str, Any]) -> None:
        self._recurrent(node, attributes, "lstm", _ONNX_LSTM)

    def _recurrent(self, node: Any, attributes: dict[str, Any], cell: Any, gates: tuple[int, ...]) -> None:
        given = self._settled(node.input[0], self._anyhow(node.input[0]))
        if given.batch != 1 or given.order != (0, 1) or given.places is not None:
            raise ConfigError("it takes steps, rows, and numbers of a step, in this order")
        usual = {"direction": b"forward", "layout": 0, "input_forget": 0}
        for name, value in usual.items():
            if attributes.get(name, value) != value:
                raise ConfigError(f"firmware has no {name} but {value!r}, given {attributes[name]!r}")
        if attributes.get("clip") or attributes.get("activations", _ACTIVATIONS[cell]) != _ACTIVATIONS[cell]:
            raise ConfigError("firmware's gates are sigmoids, and its states tanh, without a bound")
        for name in node.input[4:]:
            if name and (name not in self._constants or self._constants[name].any()):
                raise ConfigError(f"firmware's sequences have one length, and states begin with zeros, given {name!r}")
        weight, recurrent = (_gates(self._constant(name)[0], gates) for name in node.input[1:3])
        biases = np.zeros((2, len(weight)))
        if len(node.input) > 3 and node.input[3]:
            biases = self._constant(node.input[3])[0].reshape(2, -1)
        first, second = (_gates(bias, gates) for bias in biases)
        outputs = [self._uses[name] if name else 0 for name in node.output] + [0, 0, 0]
        if (outputs[0] and outputs[1]) or outputs[2]:
            raise ConfigError("firmware has the states of all steps or of the last, not both, and no memory")
        every = bool(outputs[0])
        layer = Recurrent(self._name(node), (given.layer,), cell, weight.T, recurrent.T, first, second, every)
        steps, states = given.shape[0], layer.states
        self._layers[layer.name] = layer
        if every:
            self._shapes[layer.name] = (steps, states)
            self._tensors[node.output[0]] = Tensor(layer.name, (steps, 1, states), (0, -1, 1), None, 2)
        else:
            self._shapes[layer.name] = (states,)
            self._tensors[node.output[1]] = Tensor(layer.name, (1, states), (-1, 0), None, 1)

    def _on_gather(self, node: Any, attributes: dict[str, Any]) -> None:
        """Take the last step of a recurrent network, or away a dimension of size 1."""
        given, (name, index) = self._anyhow(node.input[0]), node.input
        layer = self._layers.get(given.layer)
        sizes = sizes_with_batch(given)
        axis = attributes.get("axis", 0) % len(sizes)
        if sizes[axis] == 1 and self._constant(index).shape == ():
            self._sized(node, given, [size for at, size in enumerate(sizes) if at != axis])
            return
        at = axis - (axis > given.batch)
        others = [
            each for each, tensor in self._tensors.items() if tensor.layer == given.layer and self._uses[each] > 1
        ]
        if (
            not isinstance(layer, Recurrent)
            or others
            or axis == given.batch
            or given.order[at] != 0
            or self._constant(index).reshape(-1).tolist() not in ([-1], [given.shape[at] - 1])
        ):
            raise ConfigError(f"firmware takes the last step of a recurrent network and nothing else, of {name!r}")
        self._layers[layer.name] = replace(layer, every_step=False)
        self._shapes[layer.name] = (layer.states,)
        kept = [place for place in range(len(given.order)) if place != at]
        order = tuple(max(given.order[place] - 1, -1) for place in kept)
        batch = given.batch - (axis < given.batch)
        shape = tuple(given.shape[place] for place in kept)
        if self._constants[index].ndim:
            shape, order, batch = (*shape[:at], 1, *shape[at:]), (*order[:at], -1, *order[at:]), given.batch
        self._tensors[node.output[0]] = Tensor(layer.name, shape, order, None, batch)


def _gates(numbers: Weights, gates: tuple[int, ...]) -> Weights:
    """Return the rows of gates in another order."""
    return np.concatenate([np.split(numbers, len(gates))[gate] for gate in gates])
