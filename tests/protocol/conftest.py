"""What is said of models in both of the protocol's forms, protobuf and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.protocol.messages import BatchStatistics, Duration, ModelStatistics
from sonic.protocol.tensors import same_bits
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.protocol.form import Span
    from sonic.protocol.messages import InferRequest


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        "m",
        "3",
        (TensorSpec("a", DType.FP32, (-1, 4)), TensorSpec("b", DType.BYTES, (-1, 1), optional=True)),
        (TensorSpec("y", DType.BF16, (-1, -1)),),
        max_batch_size=8,
        platform="onnxruntime_onnx",
    )


@pytest.fixture
def statistics() -> ModelStatistics:
    batches = tuple(BatchStatistics(n, Duration(n, 1), Duration(n, 2), Duration(n, 3)) for n in (1, 8))
    return ModelStatistics("m", "1", 10, 4, *(Duration(n, n * 2**40) for n in range(8)), 2**41, batches)


@pytest.fixture(scope="session")
def check_arrays() -> Callable[..., None]:
    """Compare arrays that came back with those that were sent: by bits, or by value where `dtypes` has their name."""

    def check(back: dict[str, np.ndarray], sent: dict[str, np.ndarray], dtypes: dict[str, DType]) -> None:
        assert list(back) == list(sent)
        for name, array in sent.items():
            if name in dtypes:
                np.testing.assert_array_equal(back[name], array)
            else:
                assert same_bits(back[name], array)

    return check


@pytest.fixture(scope="session")
def same_request() -> Callable[[InferRequest, InferRequest], bool]:
    """Tell whether two requests say the same, with the same bits."""

    def same(one: InferRequest, other: InferRequest) -> bool:
        said = [
            (r.model, r.version, r.id, r.outputs, r.parameters, r.timeout_s, r.dtypes, r.classes) for r in (one, other)
        ]
        return (
            said[0] == said[1]
            and list(one.inputs) == list(other.inputs)
            and all(same_bits(one.inputs[name], array) for name, array in other.inputs.items())
        )

    return same


class Remapped:
    """A region of shared memory that another one of 24 bytes takes the name of, again and again."""

    def __init__(self) -> None:
        self.memories = [memoryview(bytearray(24)) for _ in range(4)]
        self._left = iter(self.memories)

    def view(self, _: Span) -> memoryview:
        """Return the memory that has the name now."""
        return next(self._left)


@pytest.fixture
def remapped() -> Remapped:
    return Remapped()
