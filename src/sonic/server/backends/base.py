"""The port that every backend implements, and how one is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar, Protocol

from sonic.errors import ConfigError
from sonic.server.execution.instances import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.completion import Signature
    from sonic.server.backends.services import Service
    from sonic.server.execution.instances import Instance, Reply
    from sonic.server.execution.plan import Execution
    from sonic.server.scheduling.job import Inline, Job
    from sonic.specs import ModelSpec

GROUP = "sonic.backends"

FUNCTION = "function"
"""Name of the backend that executes functions with ``@sonic.service``."""


class Loaded(Protocol):
    """A model that takes requests, as those see it that are made of it."""

    config: ModelConfig
    spec: ModelSpec
    labels: Mapping[str, Sequence[str]]


class Models(Protocol):
    """The other models of the server, for a model that is made of them."""

    def require(self, name: str, version: str = "") -> Loaded:
        """Return a model, loaded first if it is not; only while the one that asks is being loaded.

        Raises
        ------
        ModelNotFound, Unavailable, ConfigError
            If it is not there, or cannot be loaded.
        """

    def submit(
        self, request: InferRequest, *, inline: Inline = True, observe: Callable[[Execution], None] | None = None
    ) -> Future[InferResponse]:
        """Take a request, as :meth:`sonic.server.models.model.ServedModel.submit` does.

        Raises
        ------
        InferenceError
        """


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
    models : Models or None
        The other models of the server; None: there are none.
    service : Service or None
        The function to serve, where the model is no folder's.
    """

    name: str
    version: str
    folder: Path
    config: ModelConfig
    cores: int
    models: Models | None = None
    service: Service | None = None


class RequestScheduler(Protocol):
    """What sees a model's requests through, unless a backend has its own.

    The meaning of all methods is that of :class:`sonic.server.scheduling.scheduler.Scheduler`.
    """

    @property
    def instances(self) -> int:
        """Executions of its own that run at the same time; 0 if it has none."""

    @property
    def pending(self) -> int:
        """Requests that wait."""

    def statistics(self) -> ModelStatistics:
        """Return the counters."""

    def failures(self) -> Mapping[str, int]:
        """Return how many requests failed, by reason."""

    def submit(self, job: Job, *, inline: Inline = True) -> Future[InferResponse]:
        """Take a request."""

    def answer(self, job: Job, reply: Reply) -> Future[InferResponse]:
        """Take a request whose reply is there already."""

    def stop(self) -> None:
        """Take no more requests; those that were taken go on."""

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended."""

    def close(self, released: Callable[[], object] = bool) -> None:
        """Take no more requests, and end those that have not."""


class Backend(ABC):
    """One loaded version of a model.

    The constructor loads it. It raises an error of :mod:`sonic.errors` (or anything else, which is reported with
    its type) if it cannot.

    What is asked of it then, in this order: :meth:`amend`, :attr:`signature`, :meth:`instances`, :meth:`rows` (not of
    a model with ragged inputs), :meth:`labels`, :meth:`scheduler`. :meth:`close` is called in the end, and if one of
    these raises.

    Attributes
    ----------
    platform : str
        Name for clients, where config.pbtxt gives none.
    filename : str
        The model's file in its version folder; empty if it needs none.
    steady : bool
        Whether an execution takes about as long as those before, and never hangs: who must not be kept waiting, as a
        thread that serves every connection, can then execute a short one itself. Looked at when it is loaded.
    """

    platform: ClassVar[str] = ""
    filename: ClassVar[str] = ""
    steady: bool = False

    @abstractmethod
    def __init__(self, context: LoadContext) -> None: ...

    @classmethod
    def serves(cls, folder: Path) -> bool:
        """Whether a version folder without any configuration is one of this backend's."""
        return bool(cls.filename) and (folder / cls.filename).is_file()

    @property
    def signature(self) -> Signature | None:
        """What the model's file says of its tensors; None if it says nothing."""
        return None

    def amend(self, config: ModelConfig) -> None:  # noqa: B027 - most have nothing to say
        """Write into the configuration what the model itself says of it, beyond its signature.

        Raises
        ------
        ConfigError
            If the configuration lacks what this backend cannot do without.
        """

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return labels of classes by output, where config.pbtxt gives none."""
        return {}

    def rows(self) -> Rows:
        """How requests may be merged without changing any bit of their results."""
        return Rows()

    @abstractmethod
    def instances(self) -> Sequence[Instance]:
        """Return what executes at the same time, at least one unless it has a scheduler of its own. Called once."""

    def scheduler(self, spec: ModelSpec) -> RequestScheduler | None:  # noqa: ARG002
        """Return what sees the requests through; None: its instances do, driven by the server.

        Called once, and once more before that if requests warm the model up.
        """
        return None

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Release what the model holds. No instance is running any more."""


_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

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
    known = _installed()
    names = sorted(_registered.keys() | known)
    wanted = config.backend or config.platform.partition("_")[0]  # of "onnxruntime_onnx"
    if not wanted and config.HasField("ensemble_scheduling"):
        wanted = "ensemble"
    if not wanted:
        for name in names:
            backend = _registered.get(name) or _import(name)
            if backend.serves(folder):
                return name, backend
        raise ConfigError(
            f"no backend knows the files in {folder}, and no config.pbtxt names one of {', '.join(names)}"
        )
    if wanted in _registered:
        return wanted, _registered[wanted]
    if wanted not in known:
        raise ConfigError(f"unknown backend {wanted!r}: one of {', '.join(names)}")
    return wanted, _import(wanted)


@cache
def _installed() -> dict[str, EntryPoint]:
    # Once a process: it reads a file of every installed package, and a reload under load would wait for each.
    return {point.name: point for point in entry_points(group=GROUP)}


def _import(name: str) -> type[Backend]:
    try:
        found = _installed()[name].load()
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


def bool_parameter(config: ModelConfig, name: str, *, default: bool) -> bool:
    """Return whether a flag among the ``parameters`` of a configuration is set, as Triton reads them.

    Raises
    ------
    ConfigError
        If it is neither true nor false, in any case, nor the first letter of these, nor 1 or 0.
    """
    if name not in config.parameters:
        return default
    text = config.parameters[name].string_value
    if text.lower() not in _BOOLS:
        raise ConfigError(f"parameter {name} is true or false, given {text!r}")
    return _BOOLS[text.lower()]


def instance_count(config: ModelConfig, cores: int, threads: int = 1) -> int:
    """Instances of a model of which each keeps `threads` cores busy.

    As many as the configuration's groups ask for, or as the cores carry; never more than they carry, since threads
    that share a core only slow each other down.
    """
    carried = max(1, cores // threads)
    asked = sum(max(1, group.count) for group in config.instance_group)
    return min(asked, carried) if asked else carried
