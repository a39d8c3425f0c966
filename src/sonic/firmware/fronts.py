"""A file as a network, whatever it is of: by its suffix, and of ONNX by what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.firmware import fromhgq, fromonnx, fromtrees
from sonic.firmware.exact import exactly
from sonic.firmware.layers import Quantiser
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.storage import read_precision

if TYPE_CHECKING:
    from sonic.firmware.network import Network

SUFFIXES = (".onnx", ".keras", ".json", ".ubj")


def numbers(text: str) -> Precision:
    """Return numbers by the name of a type for all of them, or by a file, ``.json``.

    Raises
    ------
    ConfigError
        If there is no such type.
    DataError
        If the file holds no numbers.
    """
    return read_precision(Path(text)) if text.endswith(".json") else Precision.uniform(Fixed.parse(text))


def read(
    file: str | os.PathLike[str], name: str, *, precision: Precision | None = None, host_normalisation: bool = True
) -> tuple[Network, Precision | None]:
    """Read a network, and its numbers: those that are given, or else those that a training has chosen, if one has.

    Parameters
    ----------
    file : path
        ONNX, QONNX, and trees in ONNX (``.onnx``); Keras with HGQ2's layers (``.keras``); XGBoost (``.json``).
    name : str
        What its firmware is called.
    precision : Precision, optional
        Of all layers. Quantisers of ONNX stay layers then, whose numbers it makes its own of.
    host_normalisation : bool
        As of :func:`sonic.firmware.fromonnx.read`.

    Raises
    ------
    DataError
        If the file holds no such thing.
    ConfigError
        If firmware cannot have it here, or a package is missing.
    """
    suffix = Path(file).suffix
    if suffix == ".json":
        return fromtrees.read_xgboost(file, name), precision
    if suffix == ".keras":
        network, found = fromhgq.read(file, name)
        return network, precision or found
    if suffix == ".ubj":
        raise ConfigError(f"{os.fspath(file)}: of XGBoost's formats JSON is read here: save_model('model.json')")
    if suffix != ".onnx":
        raise ConfigError(f"{os.fspath(file)}: expected a file that ends in {', '.join(SUFFIXES[:3])}")
    model = fromonnx.opened(file)
    if fromtrees.is_trees(model):
        return fromtrees.of_onnx(model, name), precision
    network = fromonnx.of_model(model, name, host_normalisation=host_normalisation)
    if precision is None and any(isinstance(layer, Quantiser) for layer in network.layers):
        return exactly(network)
    return network, precision
