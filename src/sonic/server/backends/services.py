"""Functions as a service: what ``@sonic.service`` declares of one.

::

    @sonic.service(inputs={"x": "FP32[-1,3]"}, outputs={"norm": "FP32[-1]"}, max_batch=1000)
    def norm(x):
        return np.sqrt((x * x).sum(axis=1))

    with sonic.serve(norm) as server: ...
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sonic.errors import ConfigError, InvalidRequest, shown
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType


_ATTRIBUTE = "__sonic_service__"
_TENSOR = re.compile(r"(?P<dtype>\w+)\[(?P<dims>[-\d\s,]*)\]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Service:
    """A function, and what clients see of it.

    Parameters
    ----------
    target : callable
        The function; or a class, of which each instance of the service has an object of its own.
    name : str
    version : int
    inputs, outputs : tuple of TensorSpec
        As a client sees them, the batch dimension included where there is one.
    max_batch : int
        Most rows of a call; 0: every request is a call of its own.
    max_delay_us : int
        How long the first request of a batch may wait for others while an instance is idle.
    ragged : bool
        Whether rows of a batch differ in their lengths, and the function takes and gives a list of them.
    instances : int
        Calls at the same time.
    """

    target: Callable[..., Any]
    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int = 0
    max_delay_us: int = 0
    ragged: bool = False
    instances: int = 1

    @property
    def home(self) -> Path:
        """Folder of the file that it is written in; the current one if there is no such file."""
        try:
            return Path(inspect.getfile(self.target)).absolute().parent
        except (TypeError, OSError):
            return Path.cwd()


def service(
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    name: str | None = None,
    version: int = 1,
    max_batch: int = 0,
    max_delay_us: int = 0,
    ragged: bool = False,
    instances: int = 1,
) -> Callable[[F], F]:
    """Declare what a function takes and gives, so that :func:`sonic.serve` can serve it as a model.

    The function stays what it is, and can be called as before. Served, it is called with an array for each input, by
    name, which it must not write to. It returns a mapping of outputs by name; or a tuple of them, in the order
    declared; or, if there is one, the array. What it returns is copied. An input whose parameter has a default is
    optional.

    A class can be declared too: its objects are called, and each instance of the service has its own.

    Parameters
    ----------
    inputs, outputs : mapping of str to str
        Datatype and shape of each as the protocol writes them, e.g. ``"FP32[-1,3]"``; -1: any size. ``"INT64[]"`` is a
        single number.
    name : str, optional
        By default the function's.
    version : int
    max_batch : int
        0: every request is a call of its own, and first dimensions mean nothing in particular. Otherwise the first
        dimension of all tensors, -1, is rows: the function gets at most so many, and gives as many back, each of which
        must not depend on the others. Requests are then merged into one call.
    max_delay_us : int
        How long the first request of a batch may wait for others while an instance is idle.
    ragged : bool
        Rows, such as events, have further free dimensions, such as hits, that differ from request to request, and from
        input to output. The function takes, for each input, a list of the rows, each an array without the first
        dimension, and gives such a list for each output. `max_batch` is the most rows of a call.
    instances : int
        Calls at the same time, each in a thread of its own; no more than there are cores for it.

    Raises
    ------
    ConfigError
        If the declaration makes no sense, or does not fit the function.
    """

    def declare(target: F) -> F:
        label = str(name or getattr(target, "__name__", ""))
        try:
            made = Service(
                target, label, version, _tensors("input", inputs), _tensors("output", outputs),
                max_batch, max_delay_us, ragged, instances,
            )  # fmt: skip
            _check(made)
            made = _with_optional(made)
        except ConfigError as error:
            raise ConfigError(f"service {label!r}: {error}") from None
        try:
            setattr(target, _ATTRIBUTE, made)
        except AttributeError:
            raise ConfigError(
                f"service {label!r}: expected a function or a class, given {type(target).__name__}"
            ) from None
        return target

    return declare


def service_of(target: object) -> Service:
    """Return what was declared of a function.

    Raises
    ------
    ConfigError
        If nothing was.
    """
    found = getattr(target, _ATTRIBUTE, None)
    if isinstance(found, Service) and found.target is target:
        return found
    label = getattr(target, "__name__", None) or shown(target)
    raise ConfigError(f"cannot serve {label}: expected a folder of models, a file or a function with @sonic.service")


def services_in(module: ModuleType) -> list[Service]:
    """Return the services that a module has under any name, in the order of the names' definitions."""
    found: dict[int, Service] = {}
    for value in vars(module).values():
        declared = getattr(value, _ATTRIBUTE, None)
        if isinstance(declared, Service) and declared.target is value:
            found[id(value)] = declared
    return list(found.values())


def _tensors(what: str, declared: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    if not declared:
        raise ConfigError(f"it has no {what}s")
    made = []
    for name, text in declared.items():
        match = _TENSOR.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(f"{what} {name!r}: expected a datatype and a shape as in FP32[-1,3], given {shown(text)}")
        try:
            dtype = DType.from_wire(match["dtype"])
            shape = tuple(int(size) for size in match["dims"].split(",")) if match["dims"].strip() else ()
        except InvalidRequest as error:
            raise ConfigError(f"{what} {name!r}: {error}") from None
        except ValueError:
            raise ConfigError(f"{what} {name!r}: expected whole numbers as its shape, given {text!r}") from None
        if any(size < -1 or size == 0 for size in shape):
            raise ConfigError(f"{what} {name!r}: sizes are 1 or more, or -1, given {text!r}")
        made.append(TensorSpec(name, dtype, shape))
    return tuple(made)


def _check(made: Service) -> None:
    if not _NAME.fullmatch(made.name):
        raise ConfigError(f"expected a name of letters, digits, '_', '-' and '.', given {shown(made.name)}")
    for what, number, least in (
        ("version", made.version, 1),
        ("max_batch", made.max_batch, 1 if made.ragged else 0),
        ("max_delay_us", made.max_delay_us, 0),
        ("instances", made.instances, 1),
    ):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            because = " of a ragged service" if made.ragged and what == "max_batch" else ""
            raise ConfigError(f"{what}{because} is a whole number from {least}, given {shown(number)}")
    if made.max_delay_us and not made.max_batch:
        raise ConfigError("max_delay_us needs a max_batch")
    for what, tensors in (("input", made.inputs), ("output", made.outputs)):
        for tensor in tensors:
            if made.max_batch and tensor.shape[:1] != (-1,):
                raise ConfigError(
                    f"with max_batch the first dimension is rows, -1; {what} {tensor.name!r} has {list(tensor.shape)}"
                )
    if made.ragged and not any(-1 in tensor.shape[1:] for tensor in made.inputs):
        raise ConfigError("ragged needs an input with a free dimension beside the rows, as in FP32[-1,-1,3]")


def _with_optional(made: Service) -> Service:
    """Check that the function can be called with its inputs, and mark those that it can do without."""
    if not callable(made.target):
        raise ConfigError(f"expected a function or a class, given {type(made.target).__name__}")
    called = made.target
    if isinstance(called, type):
        if not any("__call__" in vars(base) for base in called.__mro__):
            raise ConfigError("a class needs a method __call__")
        called = called.__call__
    if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigError("expected a function that returns its outputs, given a coroutine or generator")
    try:
        parameters = dict(inspect.signature(called).parameters)
    except (ValueError, TypeError):  # of a function in C: it will say so when it is called
        return made
    if isinstance(made.target, type):
        parameters.pop(next(iter(parameters), ""), None)
    names = {tensor.name for tensor in made.inputs}
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    named = {
        name: each
        for name, each in parameters.items()
        if each.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    for name in sorted(names - named.keys()):
        if not anything:
            raise ConfigError(f"input {name!r} is no parameter of the function: it has {', '.join(named) or 'none'}")
    for name, each in parameters.items():
        free = each.default is not each.empty or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if name not in names and not free:
            raise ConfigError(f"parameter {name!r} is no input and has no default: inputs are {', '.join(names)}")
    optional = {name for name, each in named.items() if each.default is not each.empty}
    if made.max_batch and names <= optional:
        raise ConfigError("with max_batch an input must be one that the function has no default for: it has the rows")
    return replace(made, inputs=tuple(replace(tensor, optional=tensor.name in optional) for tensor in made.inputs))
