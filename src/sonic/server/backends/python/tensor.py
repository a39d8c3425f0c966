"""Tensors as a model.py has them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sonic.protocol.modelconfig import data_type_of
from sonic.specs import DType


class Tensor:
    """A named array in the memory of the CPU.

    Parameters
    ----------
    name : str
    numpy_array : ndarray
        Texts are arrays of bytes or str, of any of numpy's kinds.
    """

    def __init__(self, name: str, numpy_array: np.ndarray) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"expected the name of a tensor, given {name!r}")
        if not isinstance(numpy_array, np.ndarray):
            raise TypeError(f"tensor {name!r}: expected a numpy array, given {type(numpy_array).__name__}")
        self._name = name
        self._array = numpy_array
        self._private = True

    @classmethod
    def of_request(cls, name: str, array: np.ndarray) -> Tensor:
        """Make the tensor of an input, whose memory is not the model's."""
        tensor = cls(name, array)
        tensor._private = False
        return tensor

    def name(self) -> str:
        """Return the tensor's name."""
        return self._name

    def as_numpy(self) -> np.ndarray:
        """Return the array; an input is copied the first time, so that the model may write into it."""
        if not self._private:
            self._array, self._private = self._array.copy(), True
        return self._array

    def shape(self) -> list[int]:
        """Return the sizes."""
        return list(self._array.shape)

    def triton_dtype(self) -> int:
        """Return the datatype as a number of the enumeration ``DataType``."""
        return data_type_of(DType.of(self._array))

    def is_cpu(self) -> bool:
        """Whether it is in the memory of the CPU: always."""
        return True

    def to_dlpack(self) -> Any:
        """Return a DLPack capsule, which e.g. ``torch.from_dlpack`` takes without a copy."""
        return self.__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return np.ascontiguousarray(self.as_numpy()).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self._array.__dlpack_device__()
        return int(kind), int(number)

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """Make a tensor of anything that speaks DLPack; what is on a GPU is copied to the CPU."""
        if type(tensor).__name__ == "PyCapsule":
            torch = sys.modules.get("torch")  # which takes what numpy does not: a GPU's memory, and bfloat16
            tensor = _Capsule(tensor) if torch is None else torch.from_dlpack(tensor)
        elif not hasattr(tensor, "__dlpack__"):
            raise TypeError(f"tensor {name!r}: expected what speaks DLPack, given {type(tensor).__name__}")
        if hasattr(tensor, "cpu"):
            tensor = tensor.cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        return Tensor(name, np.from_dlpack(tensor))


class _Capsule:
    """A DLPack capsule, which numpy takes only from an object that makes it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU; numpy refuses a capsule that says otherwise
