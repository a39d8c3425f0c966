"""A network with its numbers as files: a document, and an array a file."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import DataError, one_line
from sonic.firmware.layers import LAYERS
from sonic.firmware.network import Network, Normalisation
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.network import Layer

DOCUMENT = "network.json"
WEIGHTS = "weights"
_FORMAT = 2
_NORMALISATION = tuple(each.name for each in fields(Normalisation))
_KINDS = {kind.__name__: kind for kind in LAYERS}


def save(network: Network, precision: Precision, folder: Path) -> None:
    """Write a network and its numbers: the same ones give the same bytes."""
    weights = folder / WEIGHTS
    weights.mkdir(parents=True, exist_ok=True)
    layers = []
    for layer in network.layers:
        described: dict[str, Any] = {"layer": type(layer).__name__}
        for each in fields(layer):
            value = getattr(layer, each.name)
            if isinstance(value, np.ndarray):
                np.save(weights / f"{layer.name}.{each.name}.npy", value, allow_pickle=False)
            else:
                described[each.name] = value
        layers.append(described)
    if network.normalisation is not None:
        for part in _NORMALISATION:
            values = getattr(network.normalisation, part)
            np.save(weights / f"{network.input}.{part}.npy", values, allow_pickle=False)
    document = {
        "format": _FORMAT,
        "name": network.name,
        "model": network.model,
        "input": network.input,
        "shape": network.shape,
        "transposed": network.transposed,
        "tensors": network.tensors,
        "normalised": network.normalisation is not None,
        "layers": layers,
        "precision": describe(precision),
    }
    (folder / DOCUMENT).write_text(json.dumps(document, indent=1) + "\n")


def describe(precision: Precision) -> dict[str, Any]:
    """Return numbers as a JSON document."""
    return {
        "input": str(precision.input),
        "default": _types(precision.default),
        "layers": {name: _types(types) for name, types in sorted(precision.layers.items())},
    }


def read_precision(file: Path) -> Precision:
    """Read numbers from a JSON document.

    Raises
    ------
    DataError
        If they are not there, or not whole.
    """
    try:
        return _read_precision(json.loads(file.read_text()))
    except Exception as error:
        raise DataError(f"{file} holds no numbers of a network: {one_line(error)}") from error


def load(folder: Path) -> tuple[Network, Precision]:
    """Read what :func:`save` has written.

    Raises
    ------
    DataError
        If it is not there, or not whole.
    """
    try:
        document = json.loads((folder / DOCUMENT).read_text())
        if document["format"] != _FORMAT:
            raise DataError(
                f"{folder}: firmware of format {document['format']}, expected {_FORMAT}: it was built by another "
                "version of Sonic, build it again"
            )
        layers = tuple(_layer(described, folder / WEIGHTS) for described in document["layers"])
        network = Network(
            document["name"],
            document["input"],
            tuple(document["shape"]),
            layers,
            document["transposed"],
            tuple(document["tensors"]),
            _normalisation(folder / WEIGHTS, document["input"]) if document["normalised"] else None,
            document.get("model", ""),  # which earlier firmware does not have
        )
        precision = _read_precision(document["precision"])
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{folder} holds no firmware: {one_line(error)}") from error
    return network, precision


def _read_precision(given: dict[str, Any]) -> Precision:
    return Precision(
        Fixed.parse(given["input"]),
        _read_types(given["default"]),
        {name: _read_types(types) for name, types in given["layers"].items()},
    )


def _layer(described: dict[str, Any], weights: Path) -> Layer:
    kind = _KINDS[described.pop("layer")]
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.name in described:
            values[each.name] = _tuples(described[each.name])
        else:
            values[each.name] = np.load(weights / f"{described['name']}.{each.name}.npy", allow_pickle=False)
    return kind(**values)


def _normalisation(weights: Path, name: str) -> Normalisation:
    return Normalisation(*(np.load(weights / f"{name}.{part}.npy", allow_pickle=False) for part in _NORMALISATION))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _types(types: Types) -> dict[str, str]:
    return {each.name: str(getattr(types, each.name)) for each in fields(types)}


def _read_types(described: dict[str, str]) -> Types:
    read: dict[str, Any] = {
        name: int(value) if name == "table_size" else Fixed.parse(value) for name, value in described.items()
    }
    return Types(**read)
