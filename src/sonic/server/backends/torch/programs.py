"""The two kinds of files that PyTorch writes, each loaded to one device: what they take and what they say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, DataError, one_line
from sonic.server.backends.completion import Signature
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAMES = {
    "bool": DType.BOOL,
    "uint8": DType.UINT8,
    "uint16": DType.UINT16,
    "uint32": DType.UINT32,
    "uint64": DType.UINT64,
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
    "float16": DType.FP16,
    "float32": DType.FP32,
    "float64": DType.FP64,
    "bfloat16": DType.BF16,
}
"""Datatypes by PyTorch's names; texts are no tensors there."""


def pytorch() -> Any:
    """Return the module ``torch``.

    Raises
    ------
    ConfigError
        If it is not installed, with the extra that it is in, or cannot be imported.
    """
    try:
        return import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise ConfigError(f"PyTorch cannot be imported: {error}") from error
        raise ConfigError("the backend 'pytorch' needs PyTorch: pip install 'sonic-hep[torch]'") from error
    except (ImportError, OSError) as error:  # OSError: a library it links to
        raise ConfigError(f"PyTorch cannot be imported: {error}") from error


def dtype_name(dtype: Any) -> str:
    """Name of one of PyTorch's dtypes: the protocol's if it has one."""
    name = str(dtype).removeprefix("torch.")
    return NAMES[name].name if name in NAMES else str(dtype)


class Program(ABC):
    """A model on one device. Thread-safe as long as its ``forward`` keeps no state.

    Attributes
    ----------
    arguments : tuple of str
        Of ``forward``.
    required : frozenset of str
        Those without a default.
    dictionary : bool
        Whether the one argument is a dictionary of all inputs.
    keyed : bool
        Whether the file says that the result is a dictionary.
    others : mapping of str to str
        Arguments that are no tensors and keep their default, and what they are.
    """

    arguments: tuple[str, ...]
    required: frozenset[str]
    dictionary: bool = False
    keyed: bool = False
    others: Mapping[str, str] = MappingProxyType({})

    @property
    def signature(self) -> Signature | None:
        """What the file says of its tensors; None if it says nothing."""
        return None

    @abstractmethod
    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Execute it with tensors, or the dictionary, by argument."""


def load(path: Path, device: str) -> Program:
    """Load a file: ``.pt2`` is of ``torch.export``, all else TorchScript.

    Parameters
    ----------
    path : Path
    device : str
        ``"cpu"``, ``"cuda:0"`` ...

    Raises
    ------
    DataError
        If it is not there, or PyTorch cannot read it.
    ConfigError
        If it is of a kind that cannot be served, or PyTorch is not installed.
    """
    torch = pytorch()
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        return _Exported(torch, path, device) if path.suffix == ".pt2" else _Script(torch, path, device)
    except ConfigError:
        raise
    except Exception as error:  # PyTorch's readers raise whatever they meet
        raise DataError(f"PyTorch cannot load {path}: {one_line(error)}") from error


class _Script(Program):
    def __init__(self, torch: Any, path: Path, device: str) -> None:
        self._module = torch.jit.load(str(path), map_location=device)
        self._module.eval()
        if not hasattr(self._module, "forward"):
            raise ConfigError(f"{path}: the model has no method forward")
        arguments = self._module.forward.schema.arguments[1:]  # without self
        kinds = {argument.name: argument.type.annotation_str for argument in arguments}
        self.dictionary = list(kinds.values()) == ["Dict[str, Tensor]"]
        self.arguments = tuple(kinds)
        self.required = frozenset(argument.name for argument in arguments if not argument.has_default_value())
        if not self.dictionary:
            self.others = {name: kind for name, kind in kinds.items() if kind not in ("Tensor", "Optional[Tensor]")}
        for name, kind in self.others.items():
            if name in self.required:
                raise ConfigError(f"{path}: argument {name!r} of forward is a {kind}, expected tensors")

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        return self._module(**arguments)


class _Exported(Program):
    def __init__(self, torch: Any, path: Path, device: str) -> None:
        program = torch.export.load(str(path))
        if device != "cpu":
            program = import_module("torch.export.passes").move_to_device_pass(program, device)
        positional, named = _children(program.call_spec.in_spec)
        inputs = tuple(program.graph_signature.user_inputs)
        if len(inputs) != len(_children(positional)) + len(named.context):
            raise ConfigError(f"{path}: an argument of forward is not a tensor but a collection of them")
        self.arguments = (*inputs[: len(inputs) - len(named.context)], *named.context)
        self.required = frozenset(self.arguments)
        self._named = frozenset(named.context)
        results = program.call_spec.out_spec
        if any(not result.is_leaf() for result in _children(results)):
            raise ConfigError(f"{path}: a result of forward is not a tensor but a collection of them")
        self.keyed = results.type is dict
        self._signature = _signature(program, dict(zip(inputs, self.arguments, strict=True)))
        self._module = program.module()

    @property
    def signature(self) -> Signature:
        return self._signature

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        positional = [tensor for name, tensor in arguments.items() if name not in self._named]
        return self._module(*positional, **{name: arguments[name] for name in self._named})


def _children(spec: Any) -> Sequence[Any]:
    children: Sequence[Any] = spec.children() if hasattr(spec, "children") else spec.children_specs
    return children


def _signature(program: Any, arguments: Mapping[str, str]) -> Signature:
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    outputs = next(node for node in program.graph.nodes if node.op == "output").args[0]
    results = {node.name: node.meta["val"] for node in outputs if hasattr(node, "meta")}
    wanted = program.graph_signature.user_outputs
    shape = program.call_spec.out_spec
    names = shape.context if shape.type is dict else [f"OUTPUT__{position}" for position in range(len(wanted))]
    given = [values[name] for name in arguments]
    made = [results.get(name, values.get(name)) for name in wanted]  # one that is returned as it came is no result
    for name, value, result in zip(names, made, wanted, strict=True):
        if value is None:
            raise ConfigError(f"result {name!r} of forward is always {result!r}, expected a tensor")
    first = {str(value.shape[0]) if len(value.shape) else "" for value in (*given, *made)}
    # One symbol: other free dimensions have other ones.
    batch = len(first) == 1 and not next(iter(first)).isdecimal() and first != {""}
    return Signature(
        tuple(_spec(name, value) for name, value in zip(arguments.values(), given, strict=True)),
        tuple(_spec(name, value) for name, value in zip(names, made, strict=True)),
        batch=batch,
        most=_most(program, first.pop()) if batch else None,
    )


def _most(program: Any, symbol: str) -> int | None:
    """Return the largest size that a free dimension was exported with; None if there is none."""
    for free, sizes in program.range_constraints.items():
        if str(free) == symbol and str(sizes.upper).isdecimal():  # it says infinity in words
            return int(sizes.upper)
    return None


def _spec(name: str, value: Any) -> TensorSpec:
    kind = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
    if kind not in NAMES:
        raise ConfigError(f"tensor {name!r} is a {kind}, which the protocol has no datatype for")
    sizes: Sequence[Any] = value.shape
    return TensorSpec(name, NAMES[kind], tuple(size if isinstance(size, int) else -1 for size in sizes))
