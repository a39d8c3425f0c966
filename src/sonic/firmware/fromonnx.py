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

from sonic.errors import ConfigError, DataError, one_line
from sonic.firmware.layers import (
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Product,
    Softmax,
    Sum,
)
from sonic.firmware.onnxparts import pads, row_normalisation, sizes_with_batch, takes_images
from sonic.firmware.onnxquant import QuantReader
from sonic.firmware.reading import check_convolution, check_ends, row_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.onnxparts import Tensor


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
    return of_model(opened(file), name, host_normalisation=host_normalisation)


def opened(file: str | os.PathLike[str]) -> Any:
    """Return an ONNX model; as :func:`read`."""
    try:
        import onnx
    except ImportError:
        raise ConfigError("this needs onnx: pip install 'sonic-hep[firmware]'") from None
    try:
        return onnx.load(os.fspath(file))
    except OSError as error:
        raise DataError(f"{os.fspath(file)} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise DataError(f"{os.fspath(file)} is no ONNX model: {one_line(error)}") from error


def of_model(model: Any, name: str = "network", *, host_normalisation: bool = True) -> Network:
    """Return the network of a model that was opened; as :func:`read`."""
    constants = {tensor.name: _initialiser(tensor) for tensor in model.graph.initializer}
    uses = Counter(name for node in model.graph.node if node.op_type != "Shape" for name in node.input)
    uses.update(tensor.name for tensor in model.graph.output)
    opsets = {each.domain: each.version for each in model.opset_import}
    reader = _Operators(opsets, constants, uses, host_normalisation=host_normalisation)
    given = [tensor for tensor in model.graph.input if tensor.name not in constants]
    check_ends(name, len(given), len(model.graph.output))
    sizes = row_shape(given[0].name, [dim.dim_value for dim in given[0].type.tensor_type.shape.dim[1:]])
    reader.begin(given[0].name, sizes, transposed=len(sizes) > 1 and takes_images(model.graph.node, given[0].name))
    for node in model.graph.node:
        reader.take(node)
    return reader.network(model.graph.output[0].name, name)


def _initialiser(tensor: Any) -> NDArray[Any]:
    from onnx.numpy_helper import to_array

    try:
        return np.asarray(to_array(tensor))
    except Exception as error:  # numbers that are missing, of a type that there is not, in a file that is not there
        raise ConfigError(f"initialiser {tensor.name!r} is not whole: {one_line(error)}") from error


class _Operators(QuantReader):
    def _on_identity(self, node: Any, _: dict[str, Any]) -> None:
        self._tensors[node.output[0]] = self._given(node.input[0])

    _on_dropout = _on_identity

    def _on_gemm(self, node: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("transA", 0):
            raise ConfigError("its first input is transposed")
        weight = self._constant(node.input[1])
        weight = weight.T if attributes.get("transB", 0) else weight
        bias = self._optional(node, 2, np.zeros(weight.shape[1]))
        self._dense(node, attributes.get("alpha", 1.0) * weight, attributes.get("beta", 1.0) * bias)

    def _on_matmul(self, node: Any, _: dict[str, Any]) -> None:
        weight = self._constant(node.input[1])
        if weight.ndim != 2:
            raise ConfigError(f"its second input is a matrix, given shape {list(weight.shape)}")
        self._dense(node, weight, np.zeros(weight.shape[1]))

    def _on_add(self, node: Any, _: dict[str, Any]) -> None:
        # A network may add zero times its input, for NaN to stay NaN: whoever calls firmware sees to that.
        names = [name for name in node.input if name not in self._zeros]
        if not names:
            self._zeros.add(node.output[0])
            return
        if len(names) == 1:
            self._tensors[node.output[0]] = self._given(names[0])
            return
        constants = [name for name in names if name in self._constants]
        if not constants:
            self._merge(node, Sum)
            return
        (name,) = (name for name in names if name not in self._constants)
        self._scale(node, name, None, self._constant(constants[0]))

    def _on_sub(self, node: Any, _: dict[str, Any]) -> None:
        first, second = node.input
        if second in self._constants:
            self._scale(node, first, None, -self._constant(second))
        elif first in self._constants:
            self._scale(node, second, -np.ones(1), self._constant(first))
        else:
            self._merge(node, Difference)

    def _on_mul(self, node: Any, _: dict[str, Any]) -> None:
        constants = [name for name in node.input if name in self._constants]
        if not constants:
            self._merge(node, Product)
            return
        (name,) = (name for name in node.input if name not in self._constants)
        factor = self._constant(constants[0])
        if not factor.any():
            self._zeros.add(node.output[0])
            return
        self._scale(node, name, factor, None)

    def _on_div(self, node: Any, _: dict[str, Any]) -> None:
        with np.errstate(divide="ignore"):
            self._scale(node, node.input[0], 1 / self._constant(node.input[1]), None)

    def _on_concat(self, node: Any, attributes: dict[str, Any]) -> None:
        parts = [self._given(name) for name in node.input]
        first = parts[0]
        axis = attributes["axis"] % (len(first.shape) + 1) - 1
        if axis < 0 or any(part.order != first.order for part in parts) or first.order[axis] != len(first.order) - 1:
            raise ConfigError("firmware joins channels, and nothing else")
        self._tensors[node.output[0]] = first
        for part in parts[1:]:
            layer = Concatenation(self._name(node), (first.layer, part.layer))
            places = None
            if first.places is not None or part.places is not None:
                ours = [np.arange(each.shape[0]) if each.places is None else each.places for each in (first, part)]
                places = np.concatenate([ours[0], ours[1] + first.shape[0]])
            self._put(node, layer, replace(first, places=places))
            first = self._tensors[node.output[0]]

    def _on_batchnormalization(self, node: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("training_mode", 0):
            raise ConfigError("it normalises by the batch: export the network for inference")
        scale, shift, mean, variance = (self._constant(name) for name in node.input[1:5])
        factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        of_channels = (-1, *(1 for _ in self._anyhow(node.input[0]).shape[1:]))  # which are ONNX's first dimension
        self._scale(node, node.input[0], factor.reshape(of_channels), (shift - mean * factor).reshape(of_channels))

    def _on_relu(self, node: Any, _: dict[str, Any]) -> None:
        self._elementwise(node, "relu")

    def _on_sigmoid(self, node: Any, _: dict[str, Any]) -> None:
        self._elementwise(node, "sigmoid")

    def _on_tanh(self, node: Any, _: dict[str, Any]) -> None:
        self._elementwise(node, "tanh")

    def _on_softmax(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._given(node.input[0])
        if len(given.shape) != 1 or attributes.get("axis", -1) not in (-1, 1):
            raise ConfigError(f"firmware takes a softmax of a row of numbers, given shape {list(given.shape)}")
        self._put(node, Softmax(self._name(node), (given.layer,)), given)

    def _on_layernormalization(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._given(node.input[0])
        if len(given.shape) != 1 or given.places is not None or attributes.get("axis", -1) not in (-1, 1):
            raise ConfigError(f"firmware normalises rows of numbers, given shape {list(given.shape)}")
        count = given.shape[0]
        before = self._layers.get(given.layer)
        if isinstance(before, Dense) and self._only_taken_here(before.name):  # which can give them without their mean
            weight, bias = before.weight - before.weight.mean(axis=1, keepdims=True), before.bias - before.bias.mean()
            self._layers[before.name] = replace(before, weight=weight, bias=bias)
        else:
            before = Dense(self._name(node), (given.layer,), np.eye(count) - 1 / count, np.zeros(count))
            self._put(node, before, given)
        scale = self._constant(node.input[1])
        shift = self._optional(node, 2, np.zeros(count))
        name, epsilon = self._name(node), attributes.get("epsilon", 1e-5)
        for layer in row_normalisation(name, before.name, scale, shift, epsilon):
            self._put(node, layer, given)

    def _on_leakyrelu(self, node: Any, attributes: dict[str, Any]) -> None:
        self._elementwise(node, "leaky_relu", attributes.get("alpha", 0.01))

    def _on_conv(self, node: Any, attributes: dict[str, Any]) -> None:
        weight = self._constant(node.input[1])  # [out, in, *size]
        size = weight.shape[2:]
        check_convolution(attributes.get("group", 1), attributes.get("dilations", ()))
        given = self._image(node.input[0], len(size))
        strides = tuple(attributes.get("strides", [1] * len(size)))
        bias = self._optional(node, 2, np.zeros(len(weight)))
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

    def _on_reducemax(self, node: Any, attributes: dict[str, Any]) -> None:
        self._reduce(node, attributes, "max")

    def _on_reducemean(self, node: Any, attributes: dict[str, Any]) -> None:
        self._reduce(node, attributes, "average")

    def _reduce(self, node: Any, attributes: dict[str, Any], kind: Any) -> None:
        """Pool the whole of an image."""
        given = self._anyhow(node.input[0])
        axes = self._axes(node, attributes)
        dimensions = len(given.shape) + 1
        if sorted(axis % dimensions for axis in axes) != list(range(2, dimensions)):
            raise ConfigError(f"firmware reduces all dimensions of an image but its channels, given {axes}")
        self._pool(node, {"kernel_shape": given.shape[1:]}, kind)
        if not attributes.get("keepdims", 1):
            self._shaped(node, self._anyhow(node.output[0]), given.shape[:1])

    def _on_flatten(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._anyhow(node.input[0])
        if attributes.get("axis", 1) != 1:
            raise ConfigError("it does not keep the batch")
        self._shaped(node, given, (prod(given.shape),))

    def _on_resize(self, node: Any, attributes: dict[str, Any]) -> None:
        where = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        nearest = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        same = (where, nearest) == ("asymmetric", "floor") or (where, nearest[:5]) == ("half_pixel", "round")
        if len(node.input) == 2:  # of opset 10
            self._on_upsample(node, attributes)
            return
        given = self._given(node.input[0])
        whole = attributes.get("keep_aspect_ratio_policy", b"stretch") == b"stretch"
        if attributes.get("mode", b"nearest") != b"nearest" or not same or not whole:
            raise ConfigError("firmware repeats numbers, and does not interpolate")
        times = np.ones(1 + len(given.shape))
        axes = list(attributes.get("axes", range(len(times))))
        if len(node.input) > 3 and node.input[3]:
            times[axes] = self._constant(node.input[3]) / np.array([1, *given.shape])[axes]
            times[0] = 1  # who names sizes names that of a batch as well
        else:
            times[axes] = self._constant(node.input[2])
        self._upsample(node, node.input[0], times[1:])

    def _on_upsample(self, node: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("mode", b"nearest") != b"nearest":
            raise ConfigError("firmware repeats numbers, and does not interpolate")
        scales = attributes["scales"] if "scales" in attributes else self._constant(node.input[1])
        self._upsample(node, node.input[0], np.array(scales[1:]))

    def _on_unsqueeze(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._anyhow(node.input[0])
        axes = self._axes(node, attributes)
        if axes in ([-1], [len(given.shape) + 1]) and not given.batch:
            self._repeated[node.output[0]] = node.input[0], 1
        sizes = sizes_with_batch(given)
        for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
            sizes.insert(axis, 1)
        self._sized(node, given, sizes)

    def _on_squeeze(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._anyhow(node.input[0])
        sizes = sizes_with_batch(given)
        axes = {axis % len(sizes) for axis in self._axes(node, attributes)}
        axes = axes or {axis for axis, size in enumerate(sizes) if size == 1}
        if any(sizes[axis] != 1 for axis in axes):
            raise ConfigError(f"dimensions {sorted(axes)} are not all of size 1")
        self._sized(node, given, [size for axis, size in enumerate(sizes) if axis not in axes])

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
        given = self._anyhow(node.input[0])
        batch = _batch_among(sizes, given)
        sizes = [*sizes[:batch], *sizes[batch + 1 :]]
        shape = [given.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
        if -1 in shape:
            shape[shape.index(-1)] = prod(given.shape) // -prod(shape)
        if prod(shape) != prod(given.shape):
            raise ConfigError(f"it does not keep the batch, of {list(given.shape)} by {shape}")
        self._shaped(node, given, tuple(shape), batch)

    def _on_transpose(self, node: Any, attributes: dict[str, Any]) -> None:
        given = self._anyhow(node.input[0])
        axes: list[int | None] = list(range(len(given.shape)))
        axes.insert(given.batch, None)
        perm = list(attributes.get("perm", reversed(range(len(axes)))))
        moved = [axes[axis] for axis in perm]
        kept = [axis for axis in moved if axis is not None]
        if given.places is not None:
            raise ConfigError(f"it transposes numbers in a row: {perm}")
        self._tensors[node.output[0]] = replace(
            given,
            shape=tuple(given.shape[axis] for axis in kept),
            order=tuple(given.order[axis] for axis in kept),
            batch=moved.index(None),
        )

    def _on_shape(self, node: Any, attributes: dict[str, Any]) -> None:
        # One row stands for all of them: who reshapes by this keeps the batch.
        sizes = [1 if size is None else size for size in sizes_with_batch(self._anyhow(node.input[0]))]
        self._constants[node.output[0]] = np.array(sizes[attributes.get("start", 0) : attributes.get("end")])

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _merge(self, node: Any, kind: type[Sum | Difference | Product]) -> None:
        first, second = (self._given(name) for name in node.input)
        same = first.places is second.places or np.array_equal(first.places, second.places)  # type: ignore[arg-type]
        if (first.shape, first.order) != (second.shape, second.order) or not same:
            raise ConfigError(f"its tensors are of shapes {list(first.shape)} and {list(second.shape)}")
        self._put(node, kind(self._name(node), (first.layer, second.layer)), first)


def _batch_among(sizes: list[int], given: Tensor) -> int:
    """Return which of ONNX's new sizes is the batch's: behind as many of more than 1 as before."""
    before = sum(size != 1 for size in given.shape[: given.batch])
    behind = (at for at in range(len(sizes)) if sum(size != 1 for size in sizes[:at]) == before)
    return next(behind, 0) if given.batch else 0
