"""ONNX models as firmware's networks.

Images have their channels first in ONNX and last in firmware. What is computed is the same; the rows of a product
behind a flattened image are put into the other order, and a network whose input has its channels first says so.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError
from sonic.firmware.network import (
    Activation,
    Convolution,
    Dense,
    Flatten,
    Network,
    Pooling,
    Scale,
    Sum,
    Upsampling,
)
from sonic.firmware.onnxparts import Tensor, by_channel, for_the_host, identifier, pads, without_means

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sonic.firmware.network import Layer

    Weights = NDArray[np.float64]


_KEEP_ZEROS = ("Flatten", "ReduceSum", "Reshape", "Transpose")


def read(file: str | os.PathLike[str], name: str = "network", *, host_normalisation: bool = True) -> Network:
    """Read an ONNX model.

    Parameters
    ----------
    file : path
    name : str
        What its firmware is called.
    host_normalisation : bool
        Whether a normalisation of the input, where it begins with one, is left to the host.

    Returns
    -------
    Network

    Raises
    ------
    DataError
        If the file is no ONNX model.
    ConfigError
        If it has an operator, or a use of one, that firmware cannot have here, with node and operator; or the extra
        ``firmware`` is missing.
    """
    try:
        import onnx
        from onnx import numpy_helper, shape_inference
    except ImportError:
        raise ConfigError("this needs onnx: pip install 'sonic-hep[firmware]'") from None
    try:
        model = shape_inference.infer_shapes(onnx.load(os.fspath(file)))
    except Exception as error:
        raise DataError(f"{os.fspath(file)} is no ONNX model: {error}") from error
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    uses = Counter(name for node in model.graph.node for name in node.input)
    uses.update(tensor.name for tensor in model.graph.output)
    reader = _Reader(constants, uses, host_normalisation=host_normalisation)
    given = [tensor for tensor in model.graph.input if tensor.name not in constants]
    if len(given) != 1 or len(model.graph.output) != 1:
        raise ConfigError(
            f"firmware has one input and one output, {os.fspath(file)} has {len(given)} and {len(model.graph.output)}"
        )
    sizes = tuple(dim.dim_value for dim in given[0].type.tensor_type.shape.dim[1:])
    if not sizes or not all(sizes):
        raise ConfigError(f"input {given[0].name!r}: firmware needs every size but the batch's, given {list(sizes)}")
    reader.begin(given[0].name, sizes)
    for node in model.graph.node:
        reader.take(node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute})
    return reader.network(model.graph.output[0].name, name)


class _Reader:
    def __init__(
        self, constants: dict[str, NDArray[Any]], uses: Mapping[str, int], *, host_normalisation: bool
    ) -> None:
        self._host_normalisation = host_normalisation
        self._constants = constants
        self._uses = uses
        self._tensors: dict[str, Tensor] = {}
        self._layers: dict[str, Layer] = {}
        self._given_name = self._input = ""
        self._shape: tuple[int, ...] = ()
        self._transposed = False
        self._zeros: set[str] = set()
        self._repeated: dict[str, tuple[str, int]] = {}

    def begin(self, name: str, shape: tuple[int, ...]) -> None:
        self._given_name, self._input, self._shape = name, identifier(name), shape
        self._tensors[name] = Tensor(self._input, shape, tuple(range(len(shape))))

    def network(self, output: str, name: str) -> Network:
        last = self._tensors.get(output)
        if last is None or last.layer == self._input:
            raise ConfigError(f"output {output!r} is not computed from the input")
        if last.places is not None or last.order != tuple(range(len(last.order))):
            raise ConfigError(f"output {output!r} is an image with its channels first, which firmware gives last")
        needed = {last.layer}
        for layer in reversed(self._layers.values()):
            if layer.name in needed:
                needed |= set(layer.inputs)
        layers = tuple(layer for layer in self._layers.values() if layer.name in needed)
        host = None
        if self._host_normalisation:
            layers, host = for_the_host(self._input, layers)
        made = Network(
            identifier(name), self._input, self._shape, layers, self._transposed, (self._given_name, output), host
        )
        return without_means(made)

    def take(self, node: Any, attributes: dict[str, Any]) -> None:
        """Take the next node."""
        if node.op_type in _KEEP_ZEROS and node.input[0] in self._zeros:
            self._zeros.add(node.output[0])
            return
        known: Callable[[Any, dict[str, Any]], None] | None = getattr(self, f"_on_{node.op_type.lower()}", None)
        if known is None:
            raise ConfigError(f"node {node.name or node.output[0]!r}: firmware knows no operator {node.op_type}")
        try:
            known(node, attributes)
        except ConfigError as error:
            raise ConfigError(f"node {node.name or node.output[0]!r} ({node.op_type}): {error}") from None

    # ---- operators --------------------------------------------------------------------------------------------------

    def _on_constant(self, node: Any, attributes: dict[str, Any]) -> None:
        from onnx import numpy_helper

        self._constants[node.output[0]] = numpy_helper.to_array(attributes["value"])

    def _on_identity(self, node: Any, _: dict[str, Any]) -> None:
        self._tensors[node.output[0]] = self._given(node.input[0])

    _on_dropout = _on_identity

    def _on_gemm(self, node: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("transA", 0):
            raise ConfigError("its first input is transposed")
        weight = self._constant(node.input[1])
        weight = weight.T if attributes.get("transB", 0) else weight
        bias = self._constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(weight.shape[1])
        self._dense(node, attributes.get("alpha", 1.0) * weight, attributes.get("beta", 1.0) * bias)

    def _on_matmul(self, node: Any, _: dict[str, Any]) -> None:
        weight = self._constant(node.input[1])
        if weight.ndim != 2:
            raise ConfigError(f"its second input is a matrix, given shape {list(weight.shape)}")
        self._dense(node, weight, np.zeros(weight.shape[1]))

    def _on_add(self, node: Any, _: dict[str, Any]) -> None:
        # A network may add zero times its input, for NaN to stay NaN: whoever calls firmware sees to that.
        names = [name for name in node.input if name not in self._zeros]
        if len(names) == 1:
            self._tensors[node.output[0]] = self._given(names[0])
            return
        constants = [name for name in names if name in self._constants]
        if not constants:
            first, second = (self._given(name) for name in names)
            if (first.shape, first.order) != (second.shape, second.order):
                raise ConfigError(f"it adds shapes {list(first.shape)} and {list(second.shape)}")
            self._put(node, Sum(self._name(node), (first.layer, second.layer)), first)
            return
        (name,) = (name for name in names if name not in self._constants)
        self._scale(node, name, None, self._constant(constants[0]))

    def _on_mul(self, node: Any, _: dict[str, Any]) -> None:
        constants = [name for name in node.input if name in self._constants]
        if len(constants) != 1:
            raise ConfigError("it multiplies two tensors that are computed")
        (name,) = (name for name in node.input if name not in self._constants)
        factor = self._constant(constants[0])
        if not factor.any():
            self._zeros.add(node.output[0])
            return
        self._scale(node, name, factor, None)

    def _on_batchnormalization(self, node: Any, attributes: dict[str, Any]) -> None:
        scale, shift, mean, variance = (self._constant(name) for name in node.input[1:5])
        factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        self._scale(node, node.input[0], factor, shift - mean * factor, channel=0)

    def _on_relu(self, node: Any, _: dict[str, Any]) -> None:
        self._elementwise(node, "relu", 0.0)

    def _on_leakyrelu(self, node: Any, attributes: dict[str, Any]) -> None:
        self._elementwise(node, "leaky_relu", attributes.get("alpha", 0.01))

    def _on_conv(self, node: Any, attributes: dict[str, Any]) -> None:
        weight = self._constant(node.input[1])  # [out, in, *size]
        size = weight.shape[2:]
        if attributes.get("group", 1) != 1 or any(d != 1 for d in attributes.get("dilations", ())):
            raise ConfigError("firmware has no groups and no dilations")
        given = self._image(node.input[0], len(size))
        strides = tuple(attributes.get("strides", [1] * len(size)))
        bias = self._constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(weight))
        layer = Convolution(
            self._name(node),
            (given.layer,),
            np.moveaxis(weight, (0, 1), (-1, -2)).copy(),
            bias,
            strides,
            pads(attributes, given.shape[1:], size, strides),
        )
        self._put(node, layer, given)

    def _on_maxpool(self, node: Any, attributes: dict[str, Any]) -> None:
        self._pool(node, attributes, "max")

    def _on_averagepool(self, node: Any, attributes: dict[str, Any]) -> None:
        self._pool(node, attributes, "average")

    def _on_globalmaxpool(self, node: Any, _: dict[str, Any]) -> None:
        self._pool(node, {"kernel_shape": self._given(node.input[0]).shape[1:]}, "max")

    def _on_globalaveragepool(self, node: Any, _: dict[str, Any]) -> None:
        self._pool(node, {"kernel_shape": self._given(node.input[0]).shape[1:]}, "average")

    def _on_flatten(self, node: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("axis", 1) != 1:
            raise ConfigError("it does not keep the batch")
        self._flatten(node, self._given(node.input[0]))

    def _on_resize(self, node: Any, attributes: dict[str, Any]) -> None:
        where = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        nearest = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        same = (where, nearest) == ("asymmetric", "floor") or (where, nearest[:5]) == ("half_pixel", "round")
        given = self._given(node.input[0])
        if attributes.get("mode", b"nearest") != b"nearest" or not same or len(node.input) < 3:
            raise ConfigError("firmware repeats numbers, and does not interpolate")
        if len(node.input) > 3 and node.input[3]:
            times = self._constant(node.input[3])[1:] / np.array(given.shape)
        else:
            times = self._constant(node.input[2])[1:]
        self._upsample(node, node.input[0], times)

    def _on_unsqueeze(self, node: Any, _: dict[str, Any]) -> None:
        given = self._given(node.input[0])
        if list(self._constant(node.input[1])) not in ([-1], [len(given.shape) + 1]):
            raise ConfigError("firmware has new dimensions only as a last one, to repeat numbers in it")
        self._repeated[node.output[0]] = node.input[0], 1

    def _on_expand(self, node: Any, _: dict[str, Any]) -> None:
        name, _times = self._repeated.get(node.input[0], ("", 0))
        sizes = [int(n) for n in self._constant(node.input[1])]
        if not name or any(n not in (1, here) for n, here in zip(sizes[1:-1], self._given(name).shape, strict=False)):
            raise ConfigError("firmware repeats numbers only in a new last dimension")
        self._repeated[node.output[0]] = name, sizes[-1]

    def _on_reshape(self, node: Any, _: dict[str, Any]) -> None:
        sizes = [int(n) for n in self._constant(node.input[1])]
        if node.input[0] in self._repeated:
            name, times = self._repeated[node.input[0]]
            *others, last = self._given(name).shape
            if sizes[1:] != [*others, last * times]:
                raise ConfigError(f"numbers that are repeated stay in their dimension, given {sizes}")
            self._upsample(node, name, np.array([*(1 for _ in others), times], np.float64))
            return
        given = self._given(node.input[0])
        if len(sizes) == 2 and sizes[1] in (-1, prod(given.shape)):
            self._flatten(node, given)
        elif tuple(sizes[1:]) == given.shape:
            self._tensors[node.output[0]] = given
        else:
            raise ConfigError(f"firmware flattens, and reshapes to nothing else, given {sizes}")

    def _on_transpose(self, node: Any, attributes: dict[str, Any]) -> None:
        given, order = self._given(node.input[0]), attributes["perm"]
        if order[0] != 0 or given.places is not None:
            raise ConfigError(f"it does not keep the batch, or numbers in a row: {list(order)}")
        moved = [axis - 1 for axis in order[1:]]
        self._tensors[node.output[0]] = replace(
            given, shape=tuple(given.shape[axis] for axis in moved), order=tuple(given.order[axis] for axis in moved)
        )

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _given(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ConfigError(f"{name!r} is a constant, where firmware needs what is computed")
        return self._tensors[name]

    def _constant(self, name: str) -> Weights:
        if name not in self._constants:
            raise ConfigError(f"{name!r} is computed, where firmware needs a constant")
        return self._constants[name].astype(np.float64)

    def _name(self, node: Any) -> str:
        base = name = identifier(node.name or f"{node.op_type}_{len(self._layers)}")
        while name in self._layers or name == self._input:
            name = f"{base}_{len(self._layers)}"
        return name

    def _put(self, node: Any, layer: Layer, like: Tensor) -> None:
        """Add a layer whose output has its dimensions where `like` has them."""
        from sonic.firmware.network import output_shape

        shape = output_shape(layer, [self._ours(name) for name in layer.inputs])
        self._layers[layer.name] = layer
        kept = len(shape) == len(like.order)
        order = like.order if kept else tuple(range(len(shape)))
        self._tensors[node.output[0]] = Tensor(
            layer.name, tuple(shape[place] for place in order), order, like.places if kept else None
        )

    def _ours(self, layer: str) -> tuple[int, ...]:
        found = next(tensor for tensor in reversed(self._tensors.values()) if tensor.layer == layer)
        sizes = [0] * len(found.shape)
        for size, place in zip(found.shape, found.order, strict=True):
            sizes[place] = size
        return tuple(sizes)

    def _dense(self, node: Any, weight: Weights, bias: Weights) -> None:
        given = self._given(node.input[0])
        if len(given.shape) != 1:
            raise ConfigError(f"firmware multiplies rows of numbers, given shape {list(given.shape)}")
        if given.places is not None:
            ours = np.empty_like(weight)
            ours[given.places] = weight
            weight = ours
        before = self._layers.get(given.layer)
        left = self._host_normalisation and isinstance(before, Scale) and before.inputs == (self._input,)
        if isinstance(before, Scale) and not left and self._uses[node.input[0]] == 1:
            bias = bias + before.shift @ weight
            weight = before.factor[:, None] * weight
            del self._layers[given.layer]
            given = replace(given, layer=before.inputs[0])
        layer = Dense(self._name(node), (given.layer,), weight, np.broadcast_to(bias, weight.shape[1:]).copy())
        self._put(node, layer, replace(given, places=None))

    def _scale(
        self, node: Any, name: str, factor: Weights | None, shift: Weights | None, channel: int | None = None
    ) -> None:
        """Multiply and add numbers for each channel; in the product or convolution before, if nothing else needs it."""
        given = self._given(name)
        axis = given.order.index(len(given.order) - 1)  # of ours the last
        if channel is not None and channel != axis:
            if given.layer != self._input or channel or len(given.shape) == 1:
                raise ConfigError("its channels are not those of the firmware")
            given, axis = self._channels_last(given), 0
        count = given.shape[axis]
        factor = by_channel(np.ones(1) if factor is None else factor, given.shape, axis, count)
        shift = by_channel(np.zeros(1) if shift is None else shift, given.shape, axis, count)
        if given.places is not None:
            back = np.argsort(given.places)
            factor, shift = factor[back], shift[back]
        before = self._layers.get(given.layer)
        if isinstance(before, Dense | Convolution) and self._uses[name] == 1:
            folded = replace(before, weight=before.weight * factor, bias=before.bias * factor + shift)
            self._layers[before.name] = folded
            self._tensors[node.output[0]] = given
            return
        if isinstance(before, Scale) and self._uses[name] == 1:
            self._layers[before.name] = replace(
                before, factor=before.factor * factor, shift=before.shift * factor + shift
            )
            self._tensors[node.output[0]] = given
            return
        self._put(node, Scale(self._name(node), (given.layer,), factor, shift), given)

    def _elementwise(self, node: Any, kind: Any, slope: float) -> None:
        given = self._given(node.input[0])
        self._put(node, Activation(self._name(node), (given.layer,), kind, slope), given)

    def _pool(self, node: Any, attributes: dict[str, Any], kind: Any) -> None:
        size = tuple(int(n) for n in attributes["kernel_shape"])
        given = self._image(node.input[0], len(size))
        strides = tuple(attributes.get("strides", [1] * len(size)))
        if attributes.get("ceil_mode", 0) or any(map(any, pads(attributes, given.shape[1:], size, strides))):
            raise ConfigError("firmware pools no padding")
        self._put(node, Pooling(self._name(node), (given.layer,), kind, size, strides), given)

    def _upsample(self, node: Any, name: str, times: Weights) -> None:
        """Repeat numbers so many times in each of ONNX's dimensions."""
        given = self._image(name, len(times) - 1)
        if times[0] != 1 or (times < 1).any() or (times != np.floor(times)).any():
            raise ConfigError(f"an image becomes larger by whole numbers, and not by channels, given {list(times)}")
        self._put(node, Upsampling(self._name(node), (given.layer,), tuple(int(n) for n in times[1:])), given)

    def _image(self, name: str, dimensions: int) -> Tensor:
        """Return an image whose channels are first in ONNX, and last in ours."""
        given = self._given(name)
        if len(given.shape) != dimensions + 1:
            raise ConfigError(f"it takes {dimensions} dimensions and channels, given shape {list(given.shape)}")
        last_first = (dimensions, *range(dimensions))
        if given.order == last_first:
            return given
        if given.layer == self._input and given.order == tuple(range(dimensions + 1)):
            return self._channels_last(given)
        raise ConfigError("its image was transposed on the way")

    def _channels_last(self, given: Tensor) -> Tensor:
        """Take the input with its channels last."""
        if self._layers or self._transposed:
            raise ConfigError("the input is used in two orders")
        self._transposed = True
        self._shape = (*given.shape[1:], given.shape[0])
        moved = replace(given, order=(len(given.shape) - 1, *range(len(given.shape) - 1)))
        for name, tensor in self._tensors.items():
            if tensor.layer == self._input:
                self._tensors[name] = moved
        return moved

    def _flatten(self, node: Any, given: Tensor) -> None:
        if len(given.shape) == 1:
            self._tensors[node.output[0]] = given
            return
        ours = np.arange(prod(given.shape)).reshape(self._ours(given.layer))
        places = np.transpose(ours, given.order).reshape(-1)
        kept = bool((places == np.arange(len(places))).all())
        self._put(node, Flatten(self._name(node), (given.layer,)), given)
        flat = self._tensors[node.output[0]]
        self._tensors[node.output[0]] = replace(flat, places=None if kept else places)
