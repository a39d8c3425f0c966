"""Keras models that HGQ2 has trained, as firmware's networks with the numbers that the training has found.

HGQ2 (arXiv:2405.00645) gives each weight and each number that a layer takes bits of its own. Weights are those of fixed
point already, and what comes in between rounds nothing, so that firmware gives what the model gives.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError, one_line
from sonic.firmware.exact import exactly
from sonic.firmware.layers import Activation, Convolution, Dense, Flatten, Pooling, Quantiser, Scale, Sum
from sonic.firmware.network import Network
from sonic.firmware.reading import check_convolution, check_ends, identifier, row_shape, same_pads

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.firmware.layers import Layer
    from sonic.firmware.precision import Precision

_ROUNDINGS = {"RND": "RND", "S_RND": "RND", "TRN": "TRN"}  # S_RND is of the training alone
_OVERFLOWS = ("WRAP", "SAT", "SAT_SYM")


def read(file: str | os.PathLike[str], name: str = "network") -> tuple[Network, Precision]:
    """Read a model, ``.keras``.

    Parameters
    ----------
    file : path
    name : str
        What its firmware is called.

    Raises
    ------
    DataError
        If the file holds no model.
    ConfigError
        If it has a layer that firmware cannot have here, with its name; or HGQ2 or Keras is missing.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")  # which HGQ2 is installed with here
    try:
        import hgq  # noqa: F401 - Keras has its layers from here
        import keras
    except ImportError as error:
        raise ConfigError(f"this needs {error.name}: pip install 'sonic-hep[firmware,hgq]'") from None
    try:
        model = keras.models.load_model(file, compile=False)
    except Exception as error:
        raise DataError(f"{os.fspath(file)} holds no model of Keras: {one_line(error)}") from error
    return of_model(model, name)


def of_model(model: Any, name: str = "network") -> tuple[Network, Precision]:
    """Return the network and the numbers of a model; as :func:`read`."""
    check_ends(name, len(model.inputs), len(model.outputs))
    _check_used_once(model)
    (given,), (made,) = model.inputs, model.outputs
    reader = _Reader(given)
    for layer in model.layers:
        known: Callable[[Any], None] | None = getattr(reader, f"_on_{type(layer).__name__.lower()}", None)
        if known is None:
            raise ConfigError(f"layer {layer.name!r}: firmware knows no layer {type(layer).__name__} of Keras")
        try:
            known(layer)
        except ConfigError as error:
            raise ConfigError(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from None
    return exactly(reader.network(name, made._keras_history.operation.name))


class _Reader:
    """Layers as they come; `_at` says which of ours gives what one of Keras' gives."""

    def __init__(self, given: Any) -> None:
        self._layers: list[Layer] = []
        self._given = given._keras_history.operation.name
        self._shape = row_shape(self._given, given.shape[1:])
        self._at = {self._given: identifier(self._given)}

    def network(self, name: str, made: str) -> Network:
        layers, tensors = tuple(self._layers), (self._given, made)
        given = self._at[self._given]
        return Network(identifier(name, given), given, self._shape, layers, tensors=tensors, model=name)

    # ---- layers -----------------------------------------------------------------------------------------------------

    def _on_inputlayer(self, layer: Any) -> None:
        pass  # it is there from the beginning

    def _on_qdense(self, layer: Any) -> None:
        weight, bias = _weights(layer)
        self._put(layer, Dense(identifier(layer.name), (self._entered(layer),), weight, bias))

    _on_qbatchnormdense = _on_qdense

    def _on_qbatchnormalization(self, layer: Any) -> None:
        factor, shift = (np.asarray(part, np.float64).reshape(-1) for part in layer.qscaler_and_qoffset)
        channels = layer.input.shape[-1]
        if layer.axis not in (-1, len(layer.input.shape) - 1):
            raise ConfigError(f"firmware normalises the last dimension, given {layer.axis}")
        factor, shift = (np.broadcast_to(part, (channels,)).copy() for part in (factor, shift))
        self._put(layer, Scale(identifier(layer.name), (self._entered(layer),), factor, shift))

    def _on_qconv1d(self, layer: Any) -> None:
        check_convolution(layer.groups, layer.dilation_rate)
        weight, bias = _weights(layer)
        sizes, strides = _last_channels(layer), tuple(layer.strides)
        pads = tuple(
            _pads(layer.padding, n, window, stride)
            for n, window, stride in zip(sizes, weight.shape, strides, strict=False)
        )
        name, given = identifier(layer.name), self._entered(layer)
        self._put(layer, Convolution(name, (given,), weight, bias, strides, pads))

    _on_qconv2d = _on_qconv1d

    def _on_relu(self, layer: Any) -> None:
        if layer.max_value is not None or layer.threshold or layer.negative_slope:
            raise ConfigError("firmware's ReLU has no bounds and no slope")
        self._put(layer, Activation(identifier(layer.name), (self._entered(layer),), "relu"))

    def _on_activation(self, layer: Any) -> None:
        self._at[layer.name] = self._activated(layer, self._entered(layer))

    def _on_qadd(self, layer: Any) -> None:
        quantisers = layer.iq if layer.enable_iq else [None] * len(layer.input)
        given = [
            self._came(tensor, quantiser, f"{layer.name}_{n}")
            for n, (tensor, quantiser) in enumerate(zip(layer.input, quantisers, strict=True))
        ]
        if len(given) != 2:
            raise ConfigError(f"firmware adds two tensors, given {len(given)}")
        self._put(layer, Sum(identifier(layer.name), (given[0], given[1])))

    def _on_maxpooling2d(self, layer: Any) -> None:
        _last_channels(layer)
        if layer.padding != "valid":
            raise ConfigError(f"firmware pools no padding, given {layer.padding!r}")
        name, given = identifier(layer.name), self._entered(layer)
        self._put(layer, Pooling(name, (given,), "max", tuple(layer.pool_size), tuple(layer.strides)))

    _on_maxpooling1d = _on_qmaxpooling1d = _on_qmaxpooling2d = _on_qmaxpool1d = _on_qmaxpool2d = _on_maxpooling2d

    def _on_flatten(self, layer: Any) -> None:
        self._put(layer, Flatten(identifier(layer.name), (self._entered(layer),)))

    def _on_quantizer(self, layer: Any) -> None:
        self._at[layer.name] = self._came(layer.input, layer, layer.name)

    def _on_dropout(self, layer: Any) -> None:
        self._at[layer.name] = self._entered(layer)

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _entered(self, layer: Any) -> str:
        """Return what gives the input of a layer, by its quantiser if it has one."""
        return self._came(layer.input, layer.iq if getattr(layer, "enable_iq", False) else None, layer.name)

    def _came(self, tensor: Any, quantiser: Any, where: str) -> str:
        given = self._at[tensor._keras_history.operation.name]
        return given if quantiser is None else self._quantised(quantiser, given, tuple(tensor.shape[1:]), f"{where}_iq")

    def _put(self, layer: Any, made: Layer) -> None:
        self._layers.append(made)
        last = self._activated(layer, made.name)
        if getattr(layer, "enable_oq", False):
            last = self._quantised(layer.oq, last, tuple(layer.output.shape[1:]), f"{layer.name}_oq")
        self._at[layer.name] = last

    def _activated(self, layer: Any, given: str) -> str:
        function = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if function == "linear":
            return given
        if function != "relu":
            raise ConfigError(f"firmware has the function relu here, given {function}")
        self._layers.append(Activation(identifier(f"{layer.name}_relu"), (given,), "relu"))
        return self._layers[-1].name

    def _quantised(self, quantiser: Any, given: str, shape: tuple[int, ...], name: str) -> str:
        inner = quantiser.quantizer
        rounding, overflow = getattr(inner, "round_mode", ""), getattr(inner, "overflow_mode", "")
        if rounding not in _ROUNDINGS or overflow not in _OVERFLOWS or quantiser.scaler or quantiser.affine:
            raise ConfigError(f"{name}: firmware rounds by RND or TRN to WRAP, SAT or SAT_SYM, given {inner!r}")
        signed, integer, fraction = (
            np.asarray(inner.bw_mapper.bw_to_x(part, (1, *shape)))[0].astype(np.int64) for part in inner.kif
        )
        # HGQ2 counts the sign apart.
        made = Quantiser(
            identifier(name),
            (given,),
            signed,
            signed + integer + fraction,
            signed + integer,
            _ROUNDINGS[rounding],  # type: ignore[arg-type]
            overflow,  # type: ignore[arg-type]
        )
        self._layers.append(made)
        return made.name


def _check_used_once(model: Any) -> None:
    """Check that no layer is computed twice: Keras says what it takes of the first time alone."""
    for layer in model.get_config()["layers"]:
        if (uses := len(layer.get("inbound_nodes", ()))) > 1:  # a sequence of layers has none
            raise ConfigError(f"layer {layer['name']!r}: firmware computes a layer once, and it is used {uses} times")


def _weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    weight = np.asarray(layer.qkernel, np.float64)
    bias = layer.qbias
    return weight, np.zeros(weight.shape[-1]) if bias is None else np.asarray(bias, np.float64)


def _last_channels(layer: Any) -> tuple[int, ...]:
    """Return the size of the image that a layer takes."""
    if layer.data_format != "channels_last":
        raise ConfigError(f"firmware has channels last, given {layer.data_format}")
    return tuple(layer.input.shape[1:-1])


def _pads(padding: str, size: int, window: int, stride: int) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding != "same":
        raise ConfigError(f"firmware pads valid or same, given {padding!r}")
    return same_pads(size, window, stride)
