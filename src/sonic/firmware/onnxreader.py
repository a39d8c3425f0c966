"""Layers and tensors while an ONNX model is read: what its operators share."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, one_line
from sonic.firmware.layers import (
    Activation,
    Convolution,
    Dense,
    Flatten,
    Pooling,
    Reshape,
    Scale,
    Upsampling,
    output_shape,
)
from sonic.firmware.network import Network
from sonic.firmware.onnxparts import Tensor, by_channel, for_the_host, pads, without_means
from sonic.firmware.reading import identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sonic.firmware.layers import Layer

    Weights = NDArray[np.float64]

_KNOWN_DOMAINS = ("", "ai.onnx")
_KEEP_ZEROS = ("Flatten", "ReduceSum", "Reshape", "Transpose")


class Reader:
    """Reads a model node by node; what each operator is, a subclass says in ``_on_`` and its name.

    Parameters
    ----------
    opsets : dict of str to int
        Version of the model's operators, by domain.
    constants : dict of str to array
        By name.
    uses : mapping of str to int
        How often each tensor is taken.
    host_normalisation : bool
    """

    def __init__(
        self,
        opsets: dict[str, int],
        constants: dict[str, NDArray[Any]],
        uses: Mapping[str, int],
        *,
        host_normalisation: bool,
    ) -> None:
        self._opsets = opsets
        self._host_normalisation = host_normalisation
        self._constants = constants
        self._uses = uses
        self._tensors: dict[str, Tensor] = {}
        self._layers: dict[str, Layer] = {}
        self._given_name = self._input = ""
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._transposed = False
        self._zeros: set[str] = set()
        self._repeated: dict[str, tuple[str, int]] = {}

    def begin(self, name: str, shape: tuple[int, ...], *, transposed: bool) -> None:
        """Take the input, without its batch; its channels are first if it is transposed, else last as ours."""
        self._given_name, self._input, self._transposed = name, identifier(name), transposed
        last = len(shape) - 1
        self._shapes[self._input] = (*shape[1:], shape[0]) if transposed else shape
        order = (last, *range(last)) if transposed else tuple(range(len(shape)))
        self._tensors[name] = Tensor(self._input, shape, order)

    def network(self, output: str, name: str) -> Network:
        """Return what was read."""
        last = self._tensors.get(output)
        if last is None or last.layer == self._input:
            raise ConfigError(f"output {output!r} is not computed from the input")
        if not last.shape:
            raise ConfigError(f"output {output!r} has no dimension but the batch's: leave out what takes the last away")
        last = self._settled(output, last)
        if last.places is not None or last.batch or last.order != tuple(range(len(last.order))):
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
            identifier(name, self._input),
            self._input,
            self._shapes[self._input],
            layers,
            self._transposed,
            (self._given_name, output),
            host,
            name,
        )
        return without_means(made)

    def take(self, node: Any) -> None:
        """Take the next node.

        Raises
        ------
        ConfigError
            If firmware cannot have it, or it is not as its operator is to be; with node and operator.
        """
        try:
            self._take(node)
        except ConfigError as error:
            raise ConfigError(f"{_called(node)}: {error}") from None
        except Exception as error:  # what is missing, or of another type or shape than ONNX says
            raise ConfigError(f"{_called(node)} is not whole: {one_line(error)}") from error

    def _take(self, node: Any) -> None:
        from onnx.helper import get_attribute_value

        known_before = node.op_type == "Constant" or (node.input and all(n in self._constants for n in node.input if n))
        if node.domain in _KNOWN_DOMAINS and known_before:
            self._fold(node)
            return
        if node.op_type in _KEEP_ZEROS and node.input[0] in self._zeros:
            self._zeros.add(node.output[0])
            return
        known: Callable[[Any, dict[str, Any]], None] | None = getattr(self, f"_on_{node.op_type.lower()}", None)
        if known is None:
            raise ConfigError("firmware knows no such operator")
        known(node, {each.name: get_attribute_value(each) for each in node.attribute})

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _fold(self, node: Any) -> None:
        """Compute constants of constants."""
        from onnx import ValueInfoProto
        from onnx.helper import make_graph
        from onnx.reference import ReferenceEvaluator

        given = {name: self._constants[name] for name in node.input if name}
        names = [name for name in node.output if name]
        first, last = ([ValueInfoProto(name=name) for name in each] for each in (given, names))
        try:
            made = ReferenceEvaluator(make_graph([node], "constants", first, last), opsets=self._opsets).run(
                None, given
            )
        except Exception as error:
            raise ConfigError(f"its constant is unknown: {one_line(error)}") from error
        self._constants.update((name, np.asarray(value)) for name, value in zip(names, made, strict=True))

    def _anyhow(self, name: str) -> Tensor:
        """Return what is computed, wherever its batch is."""
        if name in self._zeros:
            raise ConfigError(f"{name!r} is zero times what is computed, which firmware can but add")
        if name not in self._tensors:
            raise ConfigError(f"{name!r} is a constant, where firmware needs what is computed")
        return self._tensors[name]

    def _given(self, name: str) -> Tensor:
        """Return what is computed, with the same dimensions in ours."""
        given = self._settled(name, self._anyhow(name))
        if given.batch:
            raise ConfigError(f"the batch is not the first dimension of {name!r}")
        return given

    def _settled(self, name: str, given: Tensor) -> Tensor:
        """Give a layer's output the dimensions of size 1 that ONNX has, and no others."""
        if sorted(given.order) == list(range(len(self._shapes[given.layer]))):
            return given
        places = [place for place, size in zip(given.order, given.shape, strict=True) if size != 1]
        if places != sorted(places):
            raise ConfigError(f"dimensions of {name!r} are transposed and taken away")
        order = tuple(range(len(given.shape)))
        settled = self._reshape(given, given.shape, order)
        self._tensors[name] = settled
        return settled

    def _reshape(self, given: Tensor, shape: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
        """Add a layer that gives the same numbers in the shape of ours that ONNX's dimensions are to have in it."""
        ours = [0] * len(shape)
        for size, place in zip(shape, order, strict=True):
            ours[place] = size
        name = self._free(f"{given.layer}_as_{'x'.join(map(str, ours))}")
        layer = Flatten(name, (given.layer,)) if len(ours) == 1 else Reshape(name, (given.layer,), tuple(ours))
        self._layers[layer.name], self._shapes[layer.name] = layer, tuple(ours)
        return Tensor(layer.name, shape, order, None, given.batch)

    def _only_taken_here(self, layer: str) -> bool:
        """Whether nothing but the node at hand takes what a layer gives, by whatever names ONNX knows it.

        A name that stands for another (Identity, Reshape) is one use of that. Who folds a node into a layer that is
        also taken elsewhere would change it there, too.
        """
        names = [name for name, tensor in self._tensors.items() if tensor.layer == layer]
        uses = sum(self._uses[name] for name in names) - (len(names) - 1)
        return uses == 1 and not any(layer in other.inputs for other in self._layers.values())

    def _constant(self, name: str) -> Weights:
        if name not in self._constants:
            raise ConfigError(f"{name!r} is computed, where firmware needs a constant")
        return self._constants[name].astype(np.float64)

    def _optional(self, node: Any, place: int, otherwise: Weights) -> Weights:
        """Return a constant that need not be there: ONNX leaves it out, or its name empty."""
        named = node.input[place : place + 1]
        return self._constant(named[0]) if named and named[0] else otherwise

    def _axes(self, node: Any, attributes: dict[str, Any]) -> list[int]:
        """Return what an operator names as its second input, or did before ONNX's opset 13 as an attribute."""
        named = node.input[1:] and node.input[1]
        return [int(axis) for axis in (self._constant(named) if named else attributes.get("axes", ()))]

    def _name(self, node: Any) -> str:
        return self._free(identifier(node.name or f"{node.op_type}_{len(self._layers)}"))

    def _free(self, base: str) -> str:
        name = base
        while name in self._layers or name == self._input:
            name = f"{base}_{len(self._layers)}"
        return name

    def _put(self, node: Any, layer: Layer, like: Tensor) -> None:
        """Add a layer whose output has its dimensions where `like` has them."""
        shape = output_shape(layer, [self._shapes[name] for name in layer.inputs])
        self._layers[layer.name], self._shapes[layer.name] = layer, shape
        kept = len(shape) == len(like.order)
        order = like.order if kept else tuple(range(len(shape)))
        self._tensors[node.output[0]] = Tensor(
            layer.name, tuple(shape[place] for place in order), order, like.places if kept else None
        )

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
        if isinstance(before, Scale) and not left and self._only_taken_here(before.name):
            bias = bias + before.shift @ weight
            weight = before.factor[:, None] * weight
            del self._layers[given.layer]
            given = replace(given, layer=before.inputs[0])
        layer = Dense(self._name(node), (given.layer,), weight, np.broadcast_to(bias, (1, weight.shape[1]))[0].copy())
        self._put(node, layer, replace(given, places=None))

    def _scale(self, node: Any, name: str, factor: Weights | None, shift: Weights | None) -> None:
        """Multiply and add numbers for each channel; in the product or convolution before, if nothing else needs it."""
        given = self._given(name)
        axis = given.order.index(len(given.order) - 1)  # of ours the last
        factor = by_channel(np.ones(1) if factor is None else factor, given.shape, axis)
        shift = by_channel(np.zeros(1) if shift is None else shift, given.shape, axis)
        if given.places is not None:
            back = np.argsort(given.places)
            factor, shift = factor[back], shift[back]
        before = self._layers.get(given.layer)
        alone = self._only_taken_here(given.layer)
        if isinstance(before, Dense | Convolution) and alone:
            folded = replace(before, weight=before.weight * factor, bias=before.bias * factor + shift)
            self._layers[before.name] = folded
            self._tensors[node.output[0]] = given
            return
        if isinstance(before, Scale) and alone:
            self._layers[before.name] = replace(
                before, factor=before.factor * factor, shift=before.shift * factor + shift
            )
            self._tensors[node.output[0]] = given
            return
        self._put(node, Scale(self._name(node), (given.layer,), factor, shift), given)

    def _elementwise(self, node: Any, kind: Any, slope: float = 0.0) -> None:
        given = self._given(node.input[0])
        self._put(node, Activation(self._name(node), (given.layer,), kind, slope), given)

    def _pool(self, node: Any, attributes: dict[str, Any], kind: Any) -> None:
        size = tuple(int(n) for n in attributes["kernel_shape"])
        given = self._image(node.input[0], len(size))
        strides = tuple(attributes.get("strides", [1] * len(size)))
        if any(step != 1 for step in attributes.get("dilations", ())):
            raise ConfigError("firmware pools numbers that lie side by side, without dilations")
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
        given = self._anyhow(name)
        if len(given.shape) != dimensions + 1 or given.batch:
            raise ConfigError(f"it takes {dimensions} dimensions and channels, given shape {list(given.shape)}")
        last_first = (dimensions, *range(dimensions))
        if given.order == last_first:
            return given
        pairs = zip((*given.order[1:], given.order[0]), (*given.shape[1:], given.shape[0]), strict=True)
        places = [place for place, size in pairs if size != 1]
        if places != sorted(places) or given.places is not None:
            raise ConfigError("its image was transposed on the way")
        moved = self._reshape(given, given.shape, last_first)
        self._tensors[name] = moved
        return moved

    def _shaped(self, node: Any, given: Tensor, shape: tuple[int, ...], batch: int = 0) -> None:
        """Give what is computed another shape of ONNX's."""
        moved = [(size, place) for size, place in zip(given.shape, given.order, strict=True) if size != 1]
        if [size for size in shape if size != 1] == [size for size, _ in moved] and given.places is None:
            rest = iter(moved)
            order = tuple(-1 if size == 1 else next(rest)[1] for size in shape)
            self._tensors[node.output[0]] = Tensor(given.layer, shape, order, None, batch)
        elif batch or given.batch:
            raise ConfigError("it does not keep the batch")
        elif len(shape) == 1:
            self._flatten(node, given)
        else:
            places = [place for _, place in moved]
            if given.places is not None or places != sorted(places):
                raise ConfigError(
                    f"an image with its channels first is flattened, and reshaped to nothing else: {shape}"
                )
            self._tensors[node.output[0]] = self._reshape(given, shape, tuple(range(len(shape))))

    def _sized(self, node: Any, given: Tensor, sizes: list[int | None]) -> None:
        self._shaped(node, given, tuple(size for size in sizes if size is not None), sizes.index(None))

    def _flatten(self, node: Any, given: Tensor) -> None:
        if len(given.shape) == 1:
            self._tensors[node.output[0]] = given
            return
        ours = np.arange(prod(given.shape)).reshape(self._shapes[given.layer])
        kept = [place for place in given.order if place >= 0]
        places = np.transpose(ours.reshape([ours.shape[place] for place in sorted(kept)]), np.argsort(np.argsort(kept)))
        places = places.reshape(-1)
        whole = bool((places == np.arange(len(places))).all())
        self._put(node, Flatten(self._name(node), (given.layer,)), given)
        flat = self._tensors[node.output[0]]
        self._tensors[node.output[0]] = replace(flat, places=None if whole else places)


def _called(node: Any) -> str:
    named = node.name or (node.output[0] if node.output else "")
    return f"node {named!r} ({node.op_type})"
