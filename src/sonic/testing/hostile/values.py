"""Names, numbers, documents and bytes that are nearly right: what the other strategies of this folder are made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    Infer = tuple[dict[str, Any], bytes]
    """The JSON of an infer request, and its binary tail."""

INTEGERS = (0, 1, -1, 2, 3, 64, 65, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
NAMES = (
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".",
    "%2e%2e%2f",
    "\0",
    "x\0y",
    "x" * 300,
    "\n",
    "é🙂",
    "",
)

integers: SearchStrategy[int] = st.sampled_from(INTEGERS) | st.integers(-3, 10)
"""At the edges of what the wire and numpy can hold, and small ones."""

names: SearchStrategy[str] = st.sampled_from(NAMES) | st.text(st.characters(codec="utf-8"), max_size=5)
"""Names that lead elsewhere, end early, or are no names."""

texts: SearchStrategy[str] = (
    names
    | st.sampled_from(("NaN", "1e999", "-0", "9" * 5000, "true", "null", "TYPE_FP32", "1", "0"))
    | st.sampled_from(DType).map(lambda dtype: dtype.name)
)

_numbers: SearchStrategy[int | float] = integers | st.floats() | st.sampled_from((10**4000, 1e308, 5e-324))
scalars: SearchStrategy[Any] = st.none() | st.booleans() | _numbers | texts | st.just("\ud800")

json_values: SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""What ``json`` can write, NaN, numbers of thousands of digits and halves of characters among it."""


def mostly(good: SearchStrategy[Any], bad: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Draw from the first, and from the other now and then."""
    return st.one_of(good, good, good, bad)


@st.composite
def damaged(draw: DrawFn, whole: bytes) -> bytes:
    """Draw bytes like those given, of which some are changed, missing, repeated or new."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 8)))
        data[at:end] = draw(st.binary(max_size=8) | st.just(bytes(data[at:end] * 2)) | st.just(b"\xff" * 9))
    return bytes(data)


def json_bytes(document: Any) -> bytes:
    """Write a document as JSON that Python would read again."""
    return json.dumps(document).encode()


@st.composite
def json_bodies(draw: DrawFn, documents: SearchStrategy[Any]) -> bytes:
    """Draw a body: a document as it is, damaged, nested beyond measure, or in another encoding."""
    body = json_bytes(draw(documents))
    how = draw(st.sampled_from(("plain", "plain", "plain", "damaged", "deep", "utf-16")))
    if how == "damaged":
        return draw(damaged(body))
    if how == "deep":
        return body[:-1] + b', "x": ' + draw(st.sampled_from((b"[", b'{"a":'))) * 100_000
    return body.decode().encode("utf-16") if how == "utf-16" else body


@st.composite
def infer_documents(draw: DrawFn, tensors: Sequence[str], regions: Sequence[str] = ()) -> Infer:
    """Draw an infer request for inputs of those names, and for regions of shared memory of those names.

    Sizes, shapes, datatypes and data agree with each other often, and not always.
    """
    tail = b""
    inputs = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(mostly(st.sampled_from(tensors), names))
        datatype = draw(mostly(st.sampled_from([dtype.name for dtype in DType]), texts))
        shape = draw(mostly(st.lists(st.integers(0, 3), max_size=3), st.lists(integers, max_size=70)))
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        how = draw(st.sampled_from(("binary", "data", "shared", "none")))
        if how == "binary":
            content = draw(st.binary(max_size=24) | st.integers(0, 3).map(lambda n: b"\xff\xff\xff\xff" * n))
            tail += content
            tensor["parameters"] = {"binary_data_size": draw(mostly(st.just(len(content)), json_values))}
        elif how == "data":
            values = st.lists(scalars, max_size=9)
            tensor["data"] = draw(mostly(values, values.map(lambda flat: [flat, [flat]])))
        elif how == "shared":
            tensor["parameters"] = draw(_places(regions))
        inputs.append(tensor)
    document: dict[str, Any] = {"inputs": inputs}
    if draw(st.booleans()):
        document["outputs"] = [
            {"name": draw(mostly(st.sampled_from(("y", "out0")), names)), "parameters": draw(_wanted(regions))}
            for _ in range(draw(st.integers(0, 2)))
        ]
    if draw(st.booleans()):
        known = st.sampled_from(("timeout", "priority", "binary_data_output", "sequence_id", "classification"))
        document["parameters"] = draw(st.dictionaries(known | names, scalars, max_size=3))
    if draw(st.integers(0, 4)) == 0:
        victim = draw(st.sampled_from(("inputs", "outputs", "parameters", "id")))
        document[victim] = draw(json_values)
    return document, tail


@st.composite
def _places(draw: DrawFn, regions: Sequence[str]) -> dict[str, Any]:
    region = draw(mostly(st.sampled_from(regions), names)) if regions else draw(names)
    place: dict[str, Any] = {
        "shared_memory_region": region,
        "shared_memory_byte_size": draw(mostly(st.integers(0, 5000), integers)),
    }
    if draw(st.booleans()):
        place["shared_memory_offset"] = draw(mostly(st.integers(0, 5000), integers))
    return place


def _wanted(regions: Sequence[str]) -> SearchStrategy[dict[str, Any]]:
    known = {"binary_data": mostly(st.booleans(), scalars), "classification": mostly(integers, scalars)}
    return st.fixed_dictionaries({}, optional=known) | _places(regions)
