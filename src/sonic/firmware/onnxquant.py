"""QONNX's operators (arXiv:2206.07527), as Brevitas and QKeras export them: numbers with the bits of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import Quantiser, taking
from sonic.firmware.onnxrecurrent import RecurrentReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.onnxparts import Tensor

    Weights = NDArray[np.float64]

_ROUNDINGS = {"ROUND": "RND", "HALF_EVEN": "RND", "HALF_UP": "RND", "FLOOR": "TRN"}
"""In firmware a half is rounded up, whereas QONNX's ROUND takes it to the even neighbour, HALF_UP away from zero."""
_OF_CONSTANTS: dict[str, Callable[[Weights], Weights]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
}


class QuantReader(RecurrentReader):
    """A reader that knows quantisers: of constants, and of what is computed if scales are powers of two."""

    _entrance: Quantiser | None = None
    """Of the input: it stands first in the end, when the order of the input's dimensions is known."""

    def network(self, output: str, name: str) -> Network:
        """Return what was read."""
        first = self._entrance
        if first is not None:
            behind = {name: taking(layer, {self._input: first.name}) for name, layer in self._layers.items()}
            self._layers = {first.name: first, **behind}
            self._shapes[first.name] = self._shapes[self._input]
        return super().network(output, name)

    def _on_quant(self, node: Any, attributes: dict[str, Any]) -> None:
        scale, zero, bits = (self._constant(name) for name in node.input[1:4])
        signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 1))
        rounding = _rounding(attributes, "ROUND")
        if rounding not in _OF_CONSTANTS:
            raise ConfigError(f"rounding {rounding} is not known")
        if node.input[0] in self._constants:
            values = self._constant(node.input[0]) / scale + zero
            low, high = _ends(bits, signed, narrow)
            whole = _OF_CONSTANTS[rounding](np.clip(values, low, high))
            if signed and (bits == 1).all():
                whole = np.where(values >= 0, 1.0, -1.0)
            self._constants[node.output[0]] = (whole - zero) * scale
        else:
            self._quantise(node, self._given(node.input[0]), scale, zero, bits, signed, narrow, rounding)

    _on_intquant = _on_quant

    def _on_trunc(self, node: Any, attributes: dict[str, Any]) -> None:
        given, rounding = node.input[0], _rounding(attributes, "FLOOR")
        scale, zero, before, *others = (self._constant(name) for name in node.input[1:])
        if len(others) == 2:  # from version 2 on: the scale of what comes out, and its bits
            signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
            self._quantise(node, self._given(given), others[0], zero, others[1], signed, narrow, rounding)
            return
        # As integers of the same scale without their last bits, which is to divide.
        self._scale(node, given, 2.0 ** (others[0] - before), None)
        made = self._tensors[node.output[0]]
        self._quantise(node, made, scale, zero, others[0] + 1, signed=True, narrow=False, rounding=rounding)

    def _on_bipolarquant(self, node: Any, _: dict[str, Any]) -> None:
        values, scale = (self._constant(name) for name in node.input[:2])
        self._constants[node.output[0]] = np.where(values >= 0, scale, -scale)

    def _quantise(
        self,
        node: Any,
        given: Tensor,
        scale: Weights,
        zero: Weights,
        bits: Weights,
        signed: bool,
        narrow: bool,
        rounding: str,
    ) -> None:
        """Give what is computed other types."""
        if (bits != np.rint(bits)).any():
            raise ConfigError(f"firmware has whole bits, given {np.unique(bits).tolist()}")
        if zero.any() or rounding not in _ROUNDINGS or (narrow and not signed) or (signed and (bits < 2).any()):
            raise ConfigError(
                f"firmware rounds by {', '.join(_ROUNDINGS)} about zero, with all numbers of a type, given {rounding}, "
                f"zero points {np.unique(zero).tolist()} and {np.unique(bits).tolist()} bits"
            )
        fraction = -np.frexp(scale)[1] + 1.0
        if (scale != 2.0**-fraction).any():  # nor below zero, nor zero
            raise ConfigError(f"firmware's scales are powers of 2, given {np.unique(scale).tolist()[0]:g}")
        total, behind = (_in_our_order(part, given) for part in (bits, fraction))
        layer = Quantiser(
            self._name(node),
            (given.layer,),
            np.array(int(signed)),
            total,
            total - behind,
            _ROUNDINGS[rounding],  # type: ignore[arg-type]
            "SAT_SYM" if narrow else "SAT",
        )
        first = given.layer == self._input and self._entrance is None
        if first and total.ndim == 0 and self._only_taken_here(self._input):
            self._entrance = layer
            self._tensors[node.output[0]] = given
        else:
            self._put(node, layer, given)


def _rounding(attributes: dict[str, Any], otherwise: str) -> str:
    given: str = attributes.get("rounding_mode", otherwise.encode()).decode().upper()
    return given


def _ends(bits: Weights, signed: bool, narrow: bool) -> tuple[Weights, Weights]:
    """Return the smallest and the largest integer."""
    if not signed:
        return np.zeros_like(bits), 2.0**bits - 1 - narrow
    return -(2.0 ** (bits - 1)) + narrow, 2.0 ** (bits - 1) - 1


def _in_our_order(numbers: Weights, given: Tensor) -> NDArray[np.int64]:
    """Return whole numbers, one for all or what broadcasts to ONNX's shape with the batch, as ours."""
    if numbers.size == 1:
        return numbers.reshape(()).astype(np.int64)
    if given.places is not None or numbers.ndim != len(given.shape) + 1 or numbers.shape[0] != 1:
        raise ConfigError(f"it has scales of shape {list(numbers.shape)}, where firmware needs one, or one a channel")
    return np.transpose(np.broadcast_to(numbers[0], given.shape), np.argsort(given.order)).astype(np.int64)
