from __future__ import annotations

import numpy as np
import pytest

from sonic.server.backends.python import pb_utils as pb

TYPES = {"TYPE_BOOL": (1, np.bool_), "TYPE_INT64": (9, np.int64), "TYPE_FP16": (10, np.float16)}
TYPES |= {"TYPE_FP32": (11, np.float32), "TYPE_STRING": (13, np.object_)}


@pytest.mark.parametrize(("name", "number", "kind"), [(name, *both) for name, both in TYPES.items()])
def test_types(name: str, number: int, kind: type) -> None:
    assert pb.TRITON_STRING_TO_NUMPY[name] is pb.triton_string_to_numpy(name) is kind
    assert pb.triton_to_numpy_type(number) is kind
    assert pb.numpy_to_triton_type(kind) == pb.numpy_to_triton_type(np.dtype(kind)) == number


def test_types_that_there_are_not() -> None:
    assert pb.numpy_to_triton_type(np.bytes_) == 13
    assert pb.numpy_to_triton_type(np.complex64) is None
    assert pb.triton_to_numpy_type(0) is pb.triton_to_numpy_type(99) is None
    with pytest.raises(KeyError):
        pb.triton_string_to_numpy("TYPE_FP31")


@pytest.mark.parametrize("texts", [[b"a", b"", b"\x00\xff\x00"], [], ["\u00e9", "b"]])
def test_texts_are_written_and_read(texts: list[bytes | str]) -> None:
    written = pb.serialize_byte_tensor(np.array(texts, np.object_))
    read = pb.deserialize_bytes_tensor(written)
    assert (read.dtype, read.shape) == (np.object_, (len(texts),))
    assert read.tolist() == [text.encode() if isinstance(text, str) else text for text in texts]


def test_texts_as_they_are_on_the_wire() -> None:
    assert pb.serialize_byte_tensor(np.array([[b"ab"], [b"c"]])) == b"\2\0\0\0ab\1\0\0\0c"


def test_texts_that_are_none() -> None:
    with pytest.raises(TypeError, match="expected an array of texts, given one of float32"):
        pb.serialize_byte_tensor(np.zeros(1, np.float32))
    for cut in (b"\2\0\0\0a", b"\1\0"):
        with pytest.raises(ValueError, match="text 0 ends at byte"):
            pb.deserialize_bytes_tensor(cut)
