"""Outputs as their largest values, in text: the classification extension of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, InvalidRequest
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sonic.protocol.messages import InferRequest
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec

_WITHOUT = (DType.BOOL, DType.FP16, DType.BF16, DType.BYTES)


def read_labels(config: ModelConfig, folder: Path) -> dict[str, tuple[str, ...]]:
    """Read the label files of a model: a label a line, in the order of the classes.

    Parameters
    ----------
    config : ModelConfig
        Its outputs may have a ``label_filename``.
    folder : Path
        The model's, which the names of label files are relative to.

    Returns
    -------
    dict
        Output: its labels.

    Raises
    ------
    ConfigError
        If a file cannot be read, or is none of the model's folder.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for output in config.output:
        if not output.label_filename:
            continue
        what = f"output {output.name!r}: label_filename {output.label_filename!r}"
        path = folder / output.label_filename
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{what} is not in the model's folder")
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{what} cannot be read: {reason}") from error
        labels[output.name] = tuple(line.removesuffix("\r") for line in (lines[:-1] if not lines[-1] else lines))
    return labels


def check_classes(request: InferRequest, spec: ModelSpec) -> None:
    """Check which outputs are wanted as classes.

    Raises
    ------
    InvalidRequest
        If one is not wanted at all, or its values have no order in the protocol.
    """
    for name, count in request.classes.items():
        where = f"model {spec.name!r}, output {name!r}"
        if name not in request.outputs:
            raise InvalidRequest(f"{where}: wanted as {count} classes, and not among the outputs wanted")
        dtype = spec.output(name).dtype
        if dtype in _WITHOUT:
            raise InvalidRequest(
                f"{where}: class result not available for output due to unsupported type {dtype.name!r}, only for INT, "
                "UINT, FP32 and FP64"
            )


def classify(values: np.ndarray, count: int, labels: Sequence[str] = (), *, batched: bool) -> np.ndarray:
    """Largest values of an array as the text ``value:index:label``, or ``value:index`` where there is no label.

    Parameters
    ----------
    values : ndarray
        Integers or floating point, of any shape.
    count : int
        How many; fewer if there are not as many.
    labels : sequence of str
        By index in the row-major order of `values`, without the batch.
    batched : bool
        Whether the first dimension is the batch, not empty, of which each row is treated by itself.

    Returns
    -------
    ndarray of object
        Bytes, [rows, count] or [count]; the largest first, of equal ones the first, NaN last.
    """
    rows = values.reshape(len(values) if batched else 1, -1)
    kept = min(count, rows.shape[1])
    result = np.empty((len(rows), kept), np.object_)
    if not kept:
        return result if batched else result[0]  # of rows that are empty there can be any number
    pattern = "%f:%d" if rows.dtype.kind == "f" else "%d:%d"
    for place, row in zip(result, rows, strict=True):
        for position, index in enumerate(_largest(row, kept).tolist()):
            text = pattern % (row[index], index)
            if index < len(labels):
                text += f":{labels[index]}"
            place[position] = text.encode()
    return result if batched else result[0]


def _largest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` largest values, in their order."""
    missing = np.isnan(row)
    present = len(row) - np.count_nonzero(missing)
    among = ~missing
    if count < present:  # to sort what is not wanted would take a hundred times as long; partition too puts NaN last
        among = row >= np.partition(row, present - count)[present - count]
    indices = np.flatnonzero(among)
    # Sorted from the end, so that of equal ones the first comes first.
    ascending = np.argsort(row[indices][::-1], kind="stable")[::-1]
    return np.concatenate([indices[len(indices) - 1 - ascending], np.flatnonzero(missing)])[:count]


def classify_outputs(
    outputs: Mapping[str, np.ndarray],
    classes: Mapping[str, int],
    labels: Mapping[str, Sequence[str]],
    *,
    batched: bool,
) -> dict[str, np.ndarray]:
    """Replace those outputs of a response that are wanted as classes."""
    return {
        name: classify(array, classes[name], labels.get(name, ()), batched=batched) if name in classes else array
        for name, array in outputs.items()
    }
