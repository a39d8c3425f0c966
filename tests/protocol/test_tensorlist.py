from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sonic.errors import InvalidRequest, RegionNotFound, Unsupported
from sonic.protocol.tensorlist import read_each
from sonic.specs import DType


@dataclass
class Tensor:
    name: str
    datatype: str = "FP32"


def zeros(_: Tensor, dtype: DType) -> np.ndarray:
    return np.zeros(1, dtype.numpy)


def test_tensors_by_name_in_their_order() -> None:
    arrays, dtypes = read_each("input", "m", [Tensor("b", "INT8"), Tensor("a", "BF16")], zeros)
    assert [(name, array.dtype) for name, array in arrays.items()] == [("b", np.int8), ("a", np.float32)]
    assert dtypes == {"a": DType.BF16}


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ([Tensor("a"), Tensor("a")], "output 'a' for model 'm': it already exists"),
        ([Tensor("a", "FP31")], "output 'a' for model 'm': .*FP31"),
    ],
)
def test_what_makes_no_sense(tensors: list[Tensor], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        read_each("output", "m", tensors, zeros)


@pytest.mark.parametrize("kind", [InvalidRequest, RegionNotFound, Unsupported])
def test_an_error_keeps_its_kind_and_gets_a_name(kind: type[Exception]) -> None:
    def read(tensor: Tensor, _: DType) -> np.ndarray:
        raise kind("no")

    with pytest.raises(kind, match=r"^input 'a' for model 'm': no$"):
        read_each("input", "m", [Tensor("a")], read)
