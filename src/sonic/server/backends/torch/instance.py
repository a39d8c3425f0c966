"""One execution after the other of a model of PyTorch."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonic.errors import ModelFailed, one_line
from sonic.server.backends.torch.programs import NAMES, dtype_name, pytorch
from sonic.server.execution.instances import Instance
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from sonic.server.backends.torch.programs import Program

_TORCH_NAMES = {dtype: name for name, dtype in NAMES.items()}


@dataclass(frozen=True, slots=True)
class Settings:
    """What all instances of a model have in common.

    Parameters
    ----------
    name : str
        The model's.
    threads : int
        That one execution on the CPU may use.
    optimises : bool
        Whether TorchScript may optimise itself while it runs.
    differentiates : bool
        Whether the model needs gradients.
    inputs, outputs : mapping of str to DType
    arguments : mapping of str to str
        The input of each argument; empty if the model takes a dictionary.
    positions : mapping of str to int
        Which of several results each output is.
    """

    name: str
    threads: int
    optimises: bool
    differentiates: bool
    inputs: Mapping[str, DType]
    outputs: Mapping[str, DType]
    arguments: Mapping[str, str]
    positions: Mapping[str, int]


class TorchInstance(Instance):
    """Executes a program on the device it is on; see :mod:`sonic.server.backends.torch.backend`."""

    def __init__(self, program: Program, settings: Settings, gpu: int | None) -> None:
        self._torch = pytorch()
        self._program = program
        self._settings = settings
        self.gpu = gpu
        self._stream = None if gpu is None else self._torch.cuda.Stream(device=gpu)

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Execute the model."""
        torch, settings = self._torch, self._settings
        with ExitStack() as stack:
            # The mode comes first: tensors made outside of inference mode would be tracked in it.
            stack.enter_context(torch.enable_grad() if settings.differentiates else torch.inference_mode())
            stack.enter_context(_threads(torch, settings.threads))
            stack.enter_context(torch.jit.optimized_execution(settings.optimises))
            if self._stream is not None:
                stack.enter_context(torch.cuda.device(self.gpu))
                stack.enter_context(torch.cuda.stream(self._stream))
            tensors = {name: self._tensor(array, settings.inputs[name]) for name, array in inputs.items()}
            given: dict[str, Any] = {
                argument: tensors[name] for argument, name in settings.arguments.items() if name in tensors
            }
            if self._program.dictionary:
                given = {self._program.arguments[0]: tensors}
            try:
                result = self._program(given)
            except Exception as error:
                raise ModelFailed(f"model {settings.name!r} failed: {_reason(error)}") from error
            return {name: self._array(name, self._pick(result, name)) for name in wanted}

    def _tensor(self, array: np.ndarray, dtype: DType) -> Any:
        torch = self._torch
        memory = torch.float32 if dtype is DType.BF16 else getattr(torch, _TORCH_NAMES[dtype])
        tensor = torch.empty(array.shape, dtype=memory, pin_memory=self.gpu is not None)
        tensor.numpy()[...] = array
        if self.gpu is not None:
            tensor = tensor.to(f"cuda:{self.gpu}", non_blocking=True)
        return tensor.to(torch.bfloat16) if dtype is DType.BF16 else tensor

    def _pick(self, result: Any, name: str) -> Any:
        settings = self._settings
        if isinstance(result, dict):
            if name not in result:
                there = ", ".join(map(str, result)) or "none"
                raise ModelFailed(f"model {settings.name!r} did not return output {name!r}: it returned {there}")
            return result[name]
        results = result if isinstance(result, tuple | list) else (result,)
        position = settings.positions[name]
        if position >= len(results):
            raise ModelFailed(
                f"model {settings.name!r} did not return output {name!r}: it returned {len(results)} results"
            )
        return results[position]

    def _array(self, name: str, tensor: Any) -> np.ndarray:
        torch, label = self._torch, f"model {self._settings.name!r}, output {name!r}"
        expected = self._settings.outputs[name]
        if not isinstance(tensor, torch.Tensor):
            raise ModelFailed(f"{label}: expected a tensor, the model gave {type(tensor).__name__}")
        if dtype_name(tensor.dtype) != expected.name:
            raise ModelFailed(f"{label}: expected {expected.name}, the model gave {dtype_name(tensor.dtype)}")
        if expected is DType.BF16:
            tensor = tensor.to(torch.float32)
        array: np.ndarray = tensor.detach().cpu().contiguous().numpy()
        array.flags.writeable = False  # it may be a weight or a constant of the model's
        return array


@contextmanager
def _threads(torch: Any, count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reason(error: BaseException) -> str:
    """Return the last line of what TorchScript says, which the way to it goes before, and the first of all else."""
    lines = str(error).strip().splitlines()
    if lines and "TorchScript interpreter" in lines[0]:
        return lines[-1].removeprefix("builtins.")
    return one_line(error)
