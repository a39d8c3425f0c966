"""Every error Sonic raises on purpose, in one tree.

::

    SonicError
    ├── ConfigError              settings, config.pbtxt or command line that make no sense
    ├── DataError                input that is missing, truncated or lacks what was asked of it
    ├── OutputError              output that could not be written
    ├── WorkflowError            a graph of modules that cannot run
    ├── ModuleError              a module failed; says which, on which events
    ├── ProcessLost              one of a job's processes died; says which, on which events
    └── InferenceError           how a request can end other than in a response
        ├── InvalidRequest           the request itself is wrong
        │   ├── RegionNotFound           it names shared memory that is not registered
        │   └── RegionTaken              it would register shared memory under a name that is taken
        ├── ModelNotFound            no such model or version
        │   └── WrongModel               one of that name, and it is another one
        ├── Unauthenticated          its sender is not let in
        ├── Unsupported              understood, but not offered
        ├── ModelFailed              the model raised, or gave something it had not declared
        ├── Cancelled                given up by its owner
        ├── DeadlineExceeded         not done in time             retryable
        └── Unavailable              no server, or one that cannot take it now    retryable
            └── RateLimited              its sender has had its share for now

The transport's codes (gRPC, HTTP) are in :mod:`sonic.protocol.status` alone.
"""

from __future__ import annotations

import reprlib
from typing import ClassVar


class SonicError(Exception):
    """Base of every error that Sonic raises on purpose. Its text is one line for a person, and can always be sent."""

    def __str__(self) -> str:
        return sendable(super().__str__())


class ConfigError(SonicError):
    """Settings, a model's configuration or a command line that make no sense."""


class DataError(SonicError):
    """Input that is missing, truncated, or lacks what was asked of it."""


class OutputError(SonicError):
    """Output that could not be written. Nothing is left under its name; others of the job may have theirs already."""


class WorkflowError(SonicError):
    """A graph of modules that cannot run: a product nobody makes, made twice, or a cycle."""


class ModuleError(SonicError):
    """A module failed.

    Attributes
    ----------
    module : str
        Name of the module.
    where : str
        The events it was given, e.g. ``"chunk 3, pfnano.root entries 30:40"``.
    """

    def __init__(self, module: str, where: str, cause: BaseException) -> None:
        super().__init__(f"module {module} failed on {where}: {one_line(cause)}")
        self.module = module
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        # Made again of its text: by its class, as other errors are, it would want the cause, which may be of any kind.
        return _remade, (type(self), self.args), vars(self)


class ProcessLost(SonicError):  # noqa: N818 - named for what happened
    """One of the processes of a job died."""


class InferenceError(SonicError):
    """How a request can end other than in a response.

    Attributes
    ----------
    retryable : bool
        Whether the same request can succeed later or elsewhere.
    """

    retryable: ClassVar[bool] = False


class InvalidRequest(InferenceError):  # noqa: N818 - named for what it is, as are its siblings
    """The request is wrong: an unknown tensor, a wrong shape or datatype, unreadable bytes."""


class RegionNotFound(InvalidRequest):
    """The request names a region of shared memory that is not registered with the server."""


class RegionTaken(InvalidRequest):
    """The request would register shared memory under a name that is registered already."""


class ModelNotFound(InferenceError):  # noqa: N818
    """The server has no such model or version."""


class WrongModel(ModelNotFound):
    """The server has a model of that name, and it is not the one that was meant: its files or tensors are others."""


class Unauthenticated(InferenceError):  # noqa: N818
    """The server wants a token, and was given none that it accepts."""


class Unsupported(InferenceError):  # noqa: N818
    """The server understood, but does not offer this."""


class ModelFailed(InferenceError):  # noqa: N818
    """The model raised, or returned something that it had not declared.

    Attributes
    ----------
    kind : str
        What the model itself calls it, where there is no other error for it: unknown, not found, already exists.
    """

    def __init__(self, text: str = "", kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Cancelled(InferenceError):  # noqa: N818
    """The request was given up by its owner before it ended."""


class DeadlineExceeded(InferenceError):  # noqa: N818
    """The request did not end within its deadline."""

    retryable = True


class Unavailable(InferenceError):  # noqa: N818
    """No server could be reached, or the one reached cannot take the request now."""

    retryable = True


class RateLimited(Unavailable):
    """The sender has had its share of requests for now.

    Attributes
    ----------
    wait_s : float
        Seconds until the next one is taken; 0 if that is not known.
    """

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class _Short(reprlib.Repr):
    """No deeper, longer or wider than a message can be, whatever somebody sent."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = 100
        self.maxlist = self.maxtuple = self.maxdict = 4

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write very long ones.
        return super().repr_int(x, level) if x.bit_length() <= 64 else f"a number of {x.bit_length()} bits"


_short = _Short()


def shown(value: object) -> str:
    """Write a value that somebody gave as it stands in a message: like ``repr``, but short."""
    return _short.repr(value)


def one_line(error: BaseException) -> str:
    """Say in one line what an error says; one from elsewhere is named, since its text alone may say little."""
    try:
        lines = str(error).splitlines()
    except Exception:  # noqa: BLE001 - a class of anybody's, which cannot even say what is wrong
        lines = []
    # What awkward and uproot raise goes on for many lines, and may begin with an empty one.
    text = next((line.strip() for line in lines if line.strip()), "")
    if isinstance(error, SonicError):
        return text
    return sendable(f"{type(error).__name__}: {text}") if text else type(error).__name__


def sendable(text: str) -> str:
    """Write halves of characters, as a file's name may have, by their numbers: neither JSON nor gRPC takes them."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _remade(kind: type[SonicError], args: tuple[object, ...]) -> SonicError:
    error = kind.__new__(kind)
    error.args = args
    return error
