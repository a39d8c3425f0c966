from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest
from sonic.protocol.tensors import from_values, from_wire, same_bits, to_values, to_wire
from sonic.specs import DType
from sonic.testing import strategies


@given(strategies.tensors())
def test_every_array_comes_back(tensor: tuple[DType, np.ndarray]) -> None:
    dtype, array = tensor
    data = bytes(to_wire(array, dtype))
    if dtype.wire_size is not None:
        assert len(data) == array.size * dtype.wire_size
    back = from_wire(data, dtype, array.shape)
    assert back.dtype == dtype.numpy
    assert back.flags.aligned
    if dtype is DType.BF16:  # a NaN may become quiet
        np.testing.assert_array_equal(back, array)
    else:
        assert same_bits(back, array)


@given(strategies.tensors(), st.binary(max_size=40), st.lists(st.integers(-2, 2**40), max_size=4))
def test_lying_sizes_end_in_one_error(tensor: tuple[DType, np.ndarray], data: bytes, shape: list[int]) -> None:
    dtype, _ = tensor
    with suppress(InvalidRequest):
        array = from_wire(data, dtype, shape)
        assert array.shape == tuple(shape)
        assert array.nbytes <= 64 * max(len(data), 1)


@given(strategies.tensors(), st.integers(0, 60))
def test_a_cut_tensor_is_refused(tensor: tuple[DType, np.ndarray], cut: int) -> None:
    dtype, array = tensor
    data = bytes(to_wire(array, dtype))
    if cut < len(data):
        with pytest.raises(InvalidRequest):
            from_wire(data[:cut], dtype, array.shape)
    with pytest.raises(InvalidRequest):
        from_wire(data + b"\0", dtype, array.shape)


def test_published_layout() -> None:
    assert bytes(to_wire(np.array([[1, 2], [3, 4]], ">i2"), DType.INT16)) == b"\x01\0\x02\0\x03\0\x04\0"
    assert bytes(to_wire(np.array(["a", b"bc"], object), DType.BYTES)) == b"\x01\0\0\0a\x02\0\0\0bc"
    assert bytes(to_wire(np.array([True, False]), DType.BOOL)) == b"\x01\0"
    assert bytes(to_wire(np.array([1.0, -2.0], np.float32), DType.BF16)) == b"\x80\x3f\x00\xc0"


def test_bf16_rounds_to_nearest_even_and_keeps_nan() -> None:
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-7, np.inf, -np.inf, np.nan], np.float32)
    back = from_wire(to_wire(values, DType.BF16), DType.BF16, [6])
    np.testing.assert_array_equal(back, np.array([1, 1 + 2**-6, 1 + 2**-7, np.inf, -np.inf, np.nan], np.float32))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    numbers = np.random.default_rng(1).normal(size=1000).astype(np.float32) * 1e3
    assert bytes(to_wire(numbers, DType.BF16)) == numbers.astype(ml_dtypes.bfloat16).tobytes()
    assert bytes(to_wire(numbers.astype(ml_dtypes.bfloat16), DType.BF16)) == bytes(to_wire(numbers, DType.BF16))


def test_nothing_is_copied_that_need_not_be() -> None:
    array = np.arange(4, dtype=np.float32)
    assert np.shares_memory(np.frombuffer(to_wire(array, DType.FP32), np.uint8), array)
    data = array.tobytes()
    back = from_wire(data, DType.FP32, [4])
    assert np.shares_memory(back, np.frombuffer(data, np.uint8))
    assert not back.flags.writeable


def test_a_bool_that_is_neither_zero_nor_one_is_true() -> None:
    assert from_wire(b"\x00\x02\xff", DType.BOOL, [3]).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("array", "dtype", "text"),
    [
        (np.zeros(2, np.int32), DType.FP32, "numpy dtype int32 is not FP32"),
        (np.zeros(2, np.int32), DType.BF16, "numpy dtype int32 is not BF16, which is float32 in memory"),
        (np.zeros(2, np.int32), DType.BYTES, "numpy dtype int32 is not BYTES"),
        (np.array([None]), DType.BYTES, "an element of BYTES is bytes or str, given NoneType"),
    ],
)
def test_an_array_of_another_dtype_is_refused(array: np.ndarray, dtype: DType, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        to_wire(array, dtype)


def test_messages_say_expected_and_given() -> None:
    with pytest.raises(InvalidRequest, match=r"^byte size mismatch for tensor. Expected 24, got 20: FP32 \[2, 3\]$"):
        from_wire(bytes(20), DType.FP32, [2, 3])
    with pytest.raises(
        InvalidRequest, match=r"^incomplete string data .* of length 9 but only 1 bytes .*: BYTES \[2\]$"
    ):
        from_wire(b"\x01\0\0\0a\x09\0\0\0b", DType.BYTES, [2])


@given(strategies.tensors())
def test_values_come_back(tensor: tuple[DType, np.ndarray]) -> None:
    dtype, array = tensor
    try:
        values = to_values(array, dtype)
    except InvalidRequest:
        assert dtype is DType.BYTES
        return
    back = from_values(values, dtype, array.shape)
    assert back.dtype == dtype.numpy
    np.testing.assert_array_equal(back, array)


def test_nested_values() -> None:
    assert from_values([[1, 2], [3, 4]], DType.INT8, [4, 1]).tolist() == [[1], [2], [3], [4]]
    assert from_values([["a"], ["b"]], DType.BYTES, [2, 1]).tolist() == [[b"a"], [b"b"]]


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        (
            [1, 2],
            DType.INT8,
            r"Unable to parse 'data': Shape does not match true shape of 'data' field: INT8 \[1\] is 1 values, given 2",
        ),
        ([300], DType.INT8, "300 is out of the range of INT8"),
        ([-1], DType.UINT64, "-1 is out of the range of UINT64"),
        ([1.5], DType.INT32, "1.5 is not a value of INT32"),
        ([True], DType.FP32, "True is not a value of FP32"),
        ([1], DType.BOOL, "1 is not a value of BOOL"),
        (["1"], DType.FP64, "'1' is not a value of FP64"),
        ([1e300], DType.FP32, "a value is out of the range of FP32"),
        ([10**400], DType.FP64, "a value is out of the range of FP64"),
        ([7], DType.BYTES, "an element of BYTES is bytes or str, given int"),
        ([[1], 2], DType.INT32, "data mixes values and lists"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: list, dtype: DType, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        from_values(values, dtype, [1])


def test_bytes_that_json_cannot_say() -> None:
    with pytest.raises(InvalidRequest, match="ask for binary data"):
        to_values(np.array([b"\xff"], object), DType.BYTES)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([2**62] * 400_000, "a shape has at most 64 dimensions, given 400000"),
        ([10**400], "a dimension of more than 63 bits"),
        ([2**62] * 64, "causes total element count to exceed maximum size of 9223372036854775807"),
        ([0, 2**62, 2**62], "is not one that an array can have"),
        ([1] * 65, "at most 64 dimensions"),
        ([-1], r"shape \[-1\] has a negative dimension"),
    ],
)
def test_shapes_that_no_array_has(shape: list[int], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        from_wire(b"", DType.FP32, shape)
    with pytest.raises(InvalidRequest):
        from_values([], DType.FP32, shape)


def test_a_wrong_value_is_shown_in_short() -> None:
    deep: list = []
    for _ in range(900):
        deep = [{"a": deep}]
    for value in ({"a": deep}, "x" * 10**6, 10**5000, -(10**5000)):
        with pytest.raises(InvalidRequest) as caught:
            from_values([value], DType.INT64, [1])
        assert len(str(caught.value)) < 300


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(InvalidRequest, match="no text"):
        from_values(["\ud800"], DType.BYTES, [1])
