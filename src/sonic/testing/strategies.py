"""Hypothesis strategies for what travels over the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.parameters import MEANT, RESERVED
from sonic.specs import DType

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

    from sonic.protocol.messages import Parameter

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
"""Names of tensors and models: any text that is not empty."""

dtypes = st.sampled_from(DType)

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
"""Shapes with no more than a few hundred elements, zero-sized and zero-dimensional ones among them."""

parameters: SearchStrategy[dict[str, Parameter]] = st.dictionaries(
    names.filter(lambda name: name not in (*MEANT, "binary_data_output") and not name.startswith(RESERVED)),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    max_size=3,
)
"""Those that mean something to the model alone."""

timeouts_s = st.none() | st.integers(1, 10**12).map(lambda us: us / 1e6)
"""Timeouts that are a whole number of microseconds, as the wire has them."""


@st.composite
def tensors(draw: DrawFn, dtype: SearchStrategy[DType] = dtypes) -> tuple[DType, np.ndarray]:
    """Draw a datatype and an array of it, of any layout and byte order, NaN and infinity among the values."""
    kind = draw(dtype)
    shape = draw(shapes)
    if kind is DType.BYTES:
        array: np.ndarray = draw(hnp.arrays(np.object_, shape, elements=st.binary(max_size=6)))
    elif kind is DType.BF16:
        halves = draw(hnp.arrays(np.uint16, shape)).astype(np.uint32) << 16
        array = halves.view(np.float32)
    else:
        array = draw(hnp.arrays(kind.numpy, shape))
        if draw(st.booleans()):
            array = array.astype(kind.numpy.newbyteorder(">"))
    if array.ndim and draw(st.booleans()):
        array = array[::-1]
    if draw(st.booleans()):
        array = array.T
    return kind, array


@st.composite
def infer_requests(draw: DrawFn) -> InferRequest:
    """Draw a request; its arrays need not fit any model."""
    inputs = draw(st.dictionaries(names, tensors(), max_size=3))
    return InferRequest(
        model=draw(names),
        inputs={name: array for name, (_, array) in inputs.items()},
        version=draw(st.sampled_from(["", "1", "12"])),
        id=draw(st.text(max_size=5)),
        outputs=tuple(draw(st.lists(names, max_size=3, unique=True))),
        parameters=draw(parameters),
        timeout_s=draw(timeouts_s),
        dtypes=_unsaid(inputs),
    )


@st.composite
def infer_responses(draw: DrawFn) -> InferResponse:
    """Draw a response."""
    outputs = draw(st.dictionaries(names, tensors(), max_size=3))
    return InferResponse(
        model=draw(names),
        version=draw(st.sampled_from(["1", "12"])),
        outputs={name: array for name, (_, array) in outputs.items()},
        id=draw(st.text(max_size=5)),
        parameters=draw(parameters),
        dtypes=_unsaid(outputs),
    )


def _unsaid(drawn: dict[str, tuple[DType, Any]]) -> dict[str, DType]:
    return {name: kind for name, (kind, _) in drawn.items() if kind is DType.BF16}
