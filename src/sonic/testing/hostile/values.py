"""Names, numbers, documents and bytes that are nearly right: what the other strategies of this folder are made of."""

from __future__ import annotations

import json
import struct
from math import prod
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    Inputs = Mapping[str, str]
    """What a model takes: names, and the datatype of each."""

    Infer = tuple[dict[str, Any], bytes]
    """The JSON of an infer request, and its binary tail."""


def mostly(good: SearchStrategy[Any], bad: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Draw from the first, and from the other now and then."""
    return st.integers(0, 11).flatmap(lambda chance: bad if chance == 7 else good)


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

_parameters = mostly(st.integers(0, 10**6) | st.booleans(), scalars)

json_values: SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""What ``json`` can write, NaN, numbers of thousands of digits and halves of characters among it."""


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
    how = draw(mostly(st.just("plain"), st.sampled_from(("damaged", "deep", "utf-16"))))
    if how == "damaged":
        return draw(damaged(body))
    if how == "deep":
        return body[:-1] + b', "x": ' + draw(st.sampled_from((b"[", b'{"a":'))) * 100_000
    return body.decode().encode("utf-16") if how == "utf-16" else body


@st.composite
def infer_documents(draw: DrawFn, inputs: Inputs, regions: Sequence[str] = ()) -> Infer:
    """Draw an infer request, of which most parts are right.

    Parameters
    ----------
    inputs : mapping of str to str
        Name and datatype of what the model takes.
    regions : sequence of str
        Shared memory that is registered.
    """
    rank, tail, tensors = draw(st.integers(1, 2)), b"", []
    shape = draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank))
    for known, datatype in inputs.items():
        tensor, content = draw(_tensors(known, datatype, shape, regions))
        tensors.append(tensor)
        tail += content
    if draw(st.integers(0, 9)) == 9:
        tensors = draw(st.lists(st.sampled_from(tensors), max_size=4)) if tensors else tensors
    document: dict[str, Any] = {"inputs": tensors}
    if draw(st.booleans()):
        outputs = st.fixed_dictionaries(
            {"name": mostly(st.sampled_from(("y", "out0")), names), "parameters": _wanted(regions)}
        )
        document["outputs"] = draw(st.lists(outputs, max_size=2))
    if draw(st.booleans()):
        known_names = st.sampled_from(("timeout", "priority", "binary_data_output", "sequence_id", "classification"))
        document["parameters"] = draw(st.dictionaries(mostly(known_names, names), _parameters, max_size=2))
    if draw(st.integers(0, 11)) == 7:
        victim = draw(st.sampled_from(("inputs", "outputs", "parameters", "id")))
        document[victim] = draw(json_values)
    return document, tail


@st.composite
def _tensors(
    draw: DrawFn, name: str, datatype: str, shape: list[int], regions: Sequence[str]
) -> tuple[dict[str, Any], bytes]:
    content = b""
    tensor: dict[str, Any] = {
        "name": draw(mostly(st.just(name), names)),
        "datatype": draw(mostly(st.just(datatype), texts | st.sampled_from([dtype.name for dtype in DType]))),
        "shape": draw(mostly(st.just(shape), st.lists(integers, max_size=70))),
    }
    how = draw(st.sampled_from(("binary", "binary", "data", "shared", "none") if regions else ("binary", "data")))
    count = prod(shape)
    if how == "binary":
        size = DType[datatype].wire_size
        content = struct.pack("<I1s", 1, b"a") * count if size is None else draw(st.binary(min_size=1)) * count * size
        content = content[: count * size] if size is not None else content
        content = draw(mostly(st.just(content), st.binary(max_size=24) | st.just(b"\xff" * 4 * count)))
        tensor["parameters"] = {"binary_data_size": draw(mostly(st.just(len(content)), json_values))}
    elif how == "data":
        right = st.just("a") if datatype == "BYTES" else st.booleans() if datatype == "BOOL" else st.integers(0, 3)
        values = st.lists(mostly(right, scalars), min_size=count, max_size=count)
        tensor["data"] = draw(mostly(values, values.map(lambda flat: [flat, [flat]])))
    elif how == "shared":
        tensor["parameters"] = draw(_places(regions, count * (DType[datatype].wire_size or 5)))
    return tensor, content


@st.composite
def _places(draw: DrawFn, regions: Sequence[str], size: int = 64) -> dict[str, Any]:
    region = draw(mostly(st.sampled_from(regions), names)) if regions else draw(names)
    place: dict[str, Any] = {
        "shared_memory_region": region,
        "shared_memory_byte_size": draw(mostly(st.just(size), integers)),
    }
    if draw(st.booleans()):
        place["shared_memory_offset"] = draw(mostly(st.integers(0, 5000), integers))
    return place


def _wanted(regions: Sequence[str]) -> SearchStrategy[dict[str, Any]]:
    known = {"binary_data": mostly(st.booleans(), scalars), "classification": mostly(integers, scalars)}
    return st.fixed_dictionaries({}, optional=known) | _places(regions)
