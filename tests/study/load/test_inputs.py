from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError, DataError, InvalidRequest
from sonic.protocol import grpc_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.recording import encode
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.study.load.inputs import FileInputs, RandomInputs, RecordedInputs, rows_of

if TYPE_CHECKING:
    from pathlib import Path


def model(*inputs: TensorSpec, batch: int = 8) -> ModelSpec:
    return ModelSpec("m", "1", inputs, (), batch)


PLAIN = model(TensorSpec("x", DType.FP32, (-1, 3)), TensorSpec("extra", DType.INT64, (-1, 1), optional=True))


@given(st.sampled_from(list(DType)), st.integers(1, 8))
def test_random_tensors_of_every_datatype_can_be_sent(dtype: DType, rows: int) -> None:
    spec = model(TensorSpec("x", dtype, (-1, 4)))
    for request in RandomInputs(rows).requests(spec, 1):
        assert request.inputs["x"].shape == (rows, 4)
        assert request.dtype("x") is dtype
        assert rows_of(request, spec) == rows
        grpc_codec.request_to_wire(request)


def test_random_numbers_are_small_differ_and_come_again() -> None:
    spec = model(TensorSpec("x", DType.FP32, (-1, 100)), TensorSpec("i", DType.UINT8, (-1, 100)))
    first, second = list(RandomInputs(2).requests(spec, 1))[:2]
    assert np.abs(first.inputs["x"]).max() < 10
    assert first.inputs["i"].max() < 3  # DeepMET embeds particles' charges, of which there are three
    assert not np.array_equal(first.inputs["x"], second.inputs["x"])
    again = next(RandomInputs(2).requests(spec, 1))
    assert np.array_equal(first.inputs["x"], again.inputs["x"])
    assert not np.array_equal(first.inputs["x"], next(RandomInputs(2).requests(spec, 2)).inputs["x"])


def test_inputs_that_may_be_left_out_are() -> None:
    assert list(next(RandomInputs().requests(PLAIN, 0)).inputs) == ["x"]


def test_open_dimensions_are_one_or_as_said() -> None:
    spec = model(TensorSpec("x", DType.FP32, (-1, -1)), batch=0)
    assert next(RandomInputs().requests(spec, 0)).inputs["x"].shape == (1, 1)
    request = next(RandomInputs(shapes={"x": (7, 2)}).requests(spec, 0))
    assert request.inputs["x"].shape == (7, 2)
    assert rows_of(request, spec) == 1


def test_large_requests_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.study.load.inputs._MEMORY_BYTES", 1000)
    spec = model(TensorSpec("x", DType.FP32, (-1, 100)))
    assert len(list(RandomInputs(1).requests(spec, 0))) == 3


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (RandomInputs(9), "model m takes 8 rows at most; given 9"),
        (RandomInputs(shapes={"x": (1, 4)}), r"input x of m has shape \[-1,3\]; given \[1,4\]"),
        (RandomInputs(shapes={"x": (-1, 3)}), r"input x of m has shape \[-1,3\]; given \[-1,3\]"),
    ],
)
def test_shapes_that_do_not_fit(inputs: RandomInputs, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        next(inputs.requests(PLAIN, 0))


def test_rows_where_there_are_none_and_inputs_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="has no batch dimension, so that a request is one row; given 2"):
        next(RandomInputs(2).requests(model(TensorSpec("x", DType.FP32, (3,)), batch=0), 0))
    with pytest.raises(ConfigError, match="has no batch dimension, so that a request is one row; given 2"):
        next(FileInputs("x.npz", 2).requests(model(TensorSpec("x", DType.FP32, (3,)), batch=0), 0))
    with pytest.raises(ConfigError, match="takes 8 rows at most; given 9"):
        next(FileInputs("x.npz", 9).requests(PLAIN, 0))
    with pytest.raises(InvalidRequest, match="unexpected inference input 'y'"):
        next(RandomInputs(shapes={"y": (1,)}).requests(PLAIN, 0))


def test_tensors_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(15, dtype=np.float32).reshape(5, 3), other=np.zeros(1))
    (whole,) = FileInputs(str(path)).requests(PLAIN, 0)
    assert list(whole.inputs) == ["x"]
    assert rows_of(whole, PLAIN) == 5
    parts = [request.inputs["x"] for request in FileInputs(str(path), 2).requests(PLAIN, 0)]
    assert np.array_equal(np.concatenate(parts), whole.inputs["x"][:4])
    assert len(list(FileInputs(str(path), 1).requests(PLAIN, 0))) == 5
    assert len(list(FileInputs(str(path), 5).requests(PLAIN, 0))) == 1


def test_files_that_do_not_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", y=np.zeros((2, 3)))
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    (tmp_path / "no.npz").write_bytes(b"no")
    (tmp_path / "empty.npz").touch()
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:100])
    (tmp_path / "damaged.npz").write_bytes(whole.replace(b"NUMPY", b"NUMPI"))
    np.savez_compressed(tmp_path / "z.npz", x=np.arange(99))
    packed = bytearray((tmp_path / "z.npz").read_bytes())
    packed[80:160] = bytes(80)
    (tmp_path / "z.npz").write_bytes(packed)
    for name, rows, said in (
        ("none.npz", None, "cannot read .*none.npz as .npz: No such file or directory"),
        ("no.npz", None, "cannot read .*no.npz as .npz"),
        *((f"{kind}.npz", None, f"cannot read .*{kind}.npz as .npz") for kind in ("empty", "cut", "damaged", "z")),
        ("y.npz", None, "y.npz has no x for m: it has y"),
        ("x.npz", 3, "x.npz has 2 rows, expected 3 or more"),
    ):
        with pytest.raises(DataError, match=said):
            next(FileInputs(str(tmp_path / name), rows).requests(PLAIN, 0))


def test_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "recorded"
    requests = [InferRequest(name, {"x": np.full((1, 3), i, np.float32)}) for i, name in enumerate("maam")]
    path.write_bytes(b"".join(encode(request, 10 * i) for i, request in enumerate(requests)))
    inputs = RecordedInputs(str(path))
    assert [request.inputs["x"][0, 0] for request in inputs.requests(PLAIN, 0)] == [0, 3]
    assert [request.inputs["x"][0, 0] for request in inputs.requests(PLAIN, 1)] == [3, 0]
    other = ModelSpec("b", "1", PLAIN.inputs, (), 8)
    with pytest.raises(DataError, match="has no request to b: it has some to m, a"):
        next(inputs.requests(other, 0))
