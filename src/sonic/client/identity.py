"""Whether a server's model is the one that a job has a copy of: by its tensors and by the digests of its files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sonic.errors import ConfigError, DataError, ModelNotFound, Unsupported
from sonic.protocol.checksums import differences, read_checksums
from sonic.protocol.digests import digest
from sonic.protocol.modelconfig import to_spec
from sonic.protocol.modelfolder import read_config
from sonic.specs import alike

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from sonic.client.transport import Transport
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import TensorSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a server's model compares with a copy of it.

    Parameters
    ----------
    differences : tuple of str
        A line each; none: as far as can be seen it is the same.
    notes : tuple of str
        What could not be compared.
    compared : int
        Files whose digests were.
    """

    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    compared: int = 0


class Copy(Protocol):
    """What a client has of the models that servers are to have."""

    def config(self, model: str) -> ModelConfig | None:
        """Return a model's configuration as its owner wrote it; None if there is no such model."""

    def digest(self, model: str, algorithm: str, path: str) -> str | None:
        """Return the digest of a file of the model; None if there is no such file."""


class LocalCopy:
    """A folder of models. What it says of a file is what its config.pbtxt says, else what the file itself gives.

    Parameters
    ----------
    folder : path-like

    Raises
    ------
    ConfigError
        If there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder} is not a folder of models")
        self.config = cache(self._config)
        self.digest = cache(self._digest)

    def _config(self, model: str) -> ModelConfig | None:
        folder = self.folder / model
        return read_config(folder) if model and folder.is_dir() else None

    def _digest(self, model: str, algorithm: str, path: str) -> str | None:
        config = self.config(model)
        for checksum in () if config is None else read_checksums(config):
            if (checksum.algorithm, checksum.path) == (algorithm, path):
                return checksum.digest
        try:
            return digest(self.folder / model / path, algorithm)
        except DataError:
            return None


def compare(local: ModelConfig, served: ModelConfig, version: str, ours: Callable[[str, str], str | None]) -> Verdict:
    """Compare a server's model with a copy of it.

    What the copy says of its tensors must hold of the server's: names, datatypes, and shapes as a request has them.
    Files are compared by the digests that the server's configuration has, those of the version alone, if one is given.

    Parameters
    ----------
    local : ModelConfig
        As its owner wrote it.
    served : ModelConfig
        As the server says.
    version : str
        Empty: the server's choice.
    ours : callable
        The digest of a file by algorithm and path; None if there is none.
    """
    found = [*_compare_tensors(local, served)]
    theirs = [each for each in read_checksums(served, strict=False) if each.concerns(version)]
    differ, compared = differences(ours, theirs)
    found += [f"{each.path} has {each.algorithm} {each.digest}, expected {digest}" for each, digest in differ]
    notes = []
    if not theirs and not served.HasField("ensemble_scheduling"):
        notes.append("the server gives no checksums")
    elif not compared and theirs:
        notes.append(f"there is no copy of {', '.join(sorted({each.path for each in theirs}))} to compare")
    return Verdict(tuple(found), tuple(notes), compared)


def _compare_tensors(local: ModelConfig, served: ModelConfig) -> list[str]:
    try:
        ours, theirs = to_spec(local, ""), to_spec(served, "")
    except ConfigError:  # a datatype left out: loading it is what completes it
        return []
    found = []
    for what, expected, given in (("input", ours.inputs, theirs.inputs), ("output", ours.outputs, theirs.outputs)):
        if not expected or not given:
            continue
        known = {tensor.name: tensor for tensor in given}
        for tensor in expected:
            there = known.get(tensor.name)
            if there is None:
                found.append(f"it has no {what} {tensor.name!r}, it has {', '.join(known)}")
            elif there.dtype is not tensor.dtype or not alike(tensor.shape, there.shape):
                found.append(f"{what} {tensor.name!r} is {_looks(there)}, expected {_looks(tensor)}")
        more = [t.name for t in given if not t.optional and t.name not in {e.name for e in expected}]
        if what == "input" and more:
            found.append(f"it wants input {more[0]!r} besides")
    return found


def _looks(tensor: TensorSpec) -> str:
    return f"{tensor.dtype.name} {list(tensor.shape)}"


def examine(transport: Transport, copy: Copy, model: str, version: str, timeout_s: float | None = None) -> Verdict:
    """Compare a server's model, and those it is made of, with a copy. Blocks.

    Raises
    ------
    InferenceError
        If the server does not say what it has.
    ConfigError
        If the copy's configuration cannot be read.
    """
    return _examine(transport, copy, model, version, timeout_s, set())


def _examine(
    transport: Transport, copy: Copy, model: str, version: str, timeout_s: float | None, seen: set[tuple[str, str]]
) -> Verdict:
    seen.add((model, version))
    local = copy.config(model)
    if local is None:
        return Verdict((), (f"there is no copy of model {model!r} to compare",))
    try:
        served = transport.model_config(model, version, timeout_s)
    except (Unsupported, ModelNotFound):  # an extension that not every server has; over HTTP that looks the same
        transport.model_spec(model, version, timeout_s)
        return Verdict((), ("the server does not give configurations",))
    verdict = compare(local, served, version, partial(copy.digest, model))
    for step in served.ensemble_scheduling.step:
        part = step.model_name, str(step.model_version) if step.model_version > 0 else ""
        if part in seen:
            continue
        inner = _examine(transport, copy, *part, timeout_s, seen)
        verdict = Verdict(
            verdict.differences + tuple(f"its step {part[0]!r}: {line}" for line in inner.differences),
            verdict.notes + tuple(f"its step {part[0]!r}: {line}" for line in inner.notes),
            verdict.compared + inner.compared,
        )
    return verdict
