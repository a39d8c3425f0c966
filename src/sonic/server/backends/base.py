"""The port that every backend implements, and how one is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar

from sonic.errors import ConfigError, SonicError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import TensorSpec

GROUP = "sonic.backends"


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What a backend gets to load one version of a model.

    Parameters
    ----------
    name, version : str
    folder : Path
        The version's folder; it may be read-only.
    config : ModelConfig
        As written by its owner: the backend's own signature may have to complete it.
    cores : int
        Cores that all instances of the model together may keep busy.
    """

    name: str
    version: str
    folder: Path
    config: ModelConfig
    cores: int


@dataclass(frozen=True, slots=True)
class Signature:
    """Tensors of a model as its file declares them, the batch dimension included where it has one.

    Parameters
    ----------
    inputs, outputs : tuple of TensorSpec
    batch : bool
        Whether the first dimension of all of them is one and the same free dimension.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """What keeps the bits of a request's result the same, whatever else is in its batch.

    Parameters
    ----------
    merge : bool
        Whether requests may share an execution at all.
    least : int
        An execution has at least so many rows; the last one is repeated.
    multiple : int
        Every request starts at a multiple of so many rows; its last row is repeated up to there.
    """

    merge: bool = True
    least: int = 1
    multiple: int = 1


class Instance(ABC):
    """Something that executes a model, one call at a time."""

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Execute the model.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            C-contiguous, of native byte order; shapes and datatypes are the model's. Read-only.
        wanted : sequence of str
            Outputs that must be in the result; more may be.

        Returns
        -------
        mapping of str to ndarray
            Arrays that nobody else writes to.
        """


class Backend(ABC):
    """One loaded version of a model.

    The constructor loads it. It raises an error of :mod:`sonic.errors` (or anything else, which is reported with
    its type) if it cannot.

    Attributes
    ----------
    platform : str
        Name for clients, where config.pbtxt gives none.
    filename : str
        The model's file in its version folder; empty if it needs none.
    """

    platform: ClassVar[str] = ""
    filename: ClassVar[str] = ""

    @abstractmethod
    def __init__(self, context: LoadContext) -> None: ...

    @property
    def signature(self) -> Signature | None:
        """What the model's file says of its tensors; None if it says nothing."""
        return None

    def rows(self) -> Rows:
        """How requests may be merged without changing any bit of their results."""
        return Rows()

    @abstractmethod
    def instances(self) -> Sequence[Instance]:
        """Return what executes at the same time, at least one. Called once."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Release what the model holds. No instance is running any more."""


_registered: dict[str, type[Backend]] = {}


def register_backend(name: str, backend: type[Backend]) -> None:
    """Make a backend known to this process under the name that config.pbtxt gives in ``backend``.

    An installed package does the same with an entry point of the group ``sonic.backends``; this one goes first.
    """
    _registered[name] = backend


def backend_for(config: ModelConfig, folder: Path) -> tuple[str, type[Backend]]:
    """Return name and class of a model's backend: as its configuration says, or by the file in its version folder.

    Raises
    ------
    ConfigError
        If there is none, or it cannot be imported.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    names = sorted(_registered.keys() | known)
    wanted = config.backend or config.platform.partition("_")[0]  # of "onnxruntime_onnx"
    if not wanted:
        for name in names:
            backend = _registered.get(name) or _import(name)
            if backend.filename and (folder / backend.filename).is_file():
                return name, backend
        raise ConfigError(
            f"no backend knows the files in {folder}, and no config.pbtxt names one of {', '.join(names)}"
        )
    if wanted in _registered:
        return wanted, _registered[wanted]
    if wanted not in known:
        raise ConfigError(f"unknown backend {wanted!r}: one of {', '.join(names)}")
    return wanted, _import(wanted)


def _import(name: str) -> type[Backend]:
    (point, *_) = entry_points(group=GROUP, name=name)
    try:
        found = point.load()
    except ImportError as error:
        raise ConfigError(f"backend {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError(f"entry point {name!r} of {GROUP} is not a Backend: {found!r}")
    return found


def int_parameter(config: ModelConfig, name: str, default: int) -> int:
    """Return a whole number from the ``parameters`` of a configuration.

    Raises
    ------
    ConfigError
        If it is no whole number.
    """
    if name not in config.parameters:
        return default
    text = config.parameters[name].string_value
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"parameter {name} is a whole number, given {text!r}") from None


def choice_parameter(config: ModelConfig, name: str, choices: Sequence[str]) -> str:
    """Return one of several words from the ``parameters`` of a configuration; the first unless it is given.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    text = config.parameters[name].string_value if name in config.parameters else choices[0]
    if text not in choices:
        raise ConfigError(f"parameter {name} is one of {', '.join(choices)}, given {text!r}")
    return text


def instance_count(config: ModelConfig, cores: int, threads: int = 1) -> int:
    """Instances of a model of which each keeps `threads` cores busy.

    As many as the configuration's groups ask for, or as the cores carry; never more than they carry, since threads
    that share a core only slow each other down.
    """
    carried = max(1, cores // threads)
    asked = sum(max(1, group.count) for group in config.instance_group)
    return min(asked, carried) if asked else carried


def first_line(error: BaseException) -> str:
    """One line that says what went wrong: the text of our own errors, the type and first line of others."""
    text = str(error).strip()
    if isinstance(error, SonicError):
        return text
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
