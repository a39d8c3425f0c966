from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.models.model import ServedModel

BATCHING = "dynamic_batching {}"


def sample(data: str = "zero_data: true", batch: int = 1, count: int = 0, more: str = "", dims: str = "[ 2 ]") -> str:
    inputs = f'inputs {{ key: "x" value {{ data_type: TYPE_FP32 dims: {dims} {data} }} }}'
    return f'{BATCHING} model_warmup {{ name: "first" batch_size: {batch} count: {count} {inputs} {more} }}'


def load(folder: Any, name: str = "scripted") -> ServedModel:
    path = folder.path / name
    config = parse((path / "config.pbtxt").read_text())
    return ServedModel(name, "1", path / "1", config, cores=2, default_max_batch=16)


@pytest.fixture
def seen(script: Any) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []

    def run(x: np.ndarray) -> Any:
        arrays.append(x.copy())
        return {"y": 2 * x}

    script.run = run
    return arrays


def test_a_model_is_executed_before_it_is_ready_and_nothing_is_counted(folder: Any, seen: list[np.ndarray]) -> None:
    folder.scripted(batching=sample(batch=3, count=2))
    model = load(folder)
    assert [array.tolist() for array in seen] == [[[0, 0]] * 3] * 2
    assert model.statistics().execution_count == 0
    assert model.statistics().last_inference_ms == 0


def test_random_data(folder: Any, seen: list[np.ndarray]) -> None:
    folder.scripted(batching=sample("random_data: true", batch=64))
    load(folder)
    assert np.unique(seen[0][0]).size > 1
    assert (np.abs(seen[0]) <= 1).all()


def test_data_from_a_file(folder: Any, seen: list[np.ndarray]) -> None:
    folder.scripted(batching=sample('input_data_file: "one"', batch=2))
    warmup = folder.path / "scripted" / "warmup"
    warmup.mkdir()
    (warmup / "one").write_bytes(struct.pack("<3f", 1.5, -2, 99))
    load(folder)
    assert seen[0].tolist() == [[1.5, -2], [1.5, -2]]


def test_without_a_size_there_is_nothing_to_execute(folder: Any, seen: list[np.ndarray]) -> None:
    folder.scripted(batching=sample(batch=0))
    load(folder)
    assert seen == []


def test_text_and_numbers(folder: Any) -> None:
    kinds = (("STRING", "zero_data"), ("STRING", "random_data"), ("INT64", "random_data"))
    inputs = "".join(
        f'inputs {{ key: "in{i}" value {{ data_type: TYPE_{dtype} dims: [ 3 ] {data}: true }} }}'
        for i, (dtype, data) in enumerate(kinds)
    )
    folder.identity("i", "STRING", "STRING", "INT64", extra=f'model_warmup {{ name: "w" batch_size: 1 {inputs} }}')
    load(folder, "i").close()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (sample(batch=65), "batch_size is 65, the model takes at most 64"),
        (sample(dims="[ 3 ]"), r"input 'x' for model 'scripted'. Expected \[-1,2\], got \[1,3\]"),
        (sample(dims="[ -1 ]"), "must be fixed"),
        (sample(dims=f"[ {'9223372036854775807, ' * 40_000} 2 ]"), "at most 64 of them"),
        (sample(dims="[ 2147483648 ]"), "the sample is 8589934592 bytes, and a request holds at most 2147483647"),
        (sample(count=2**32 - 1), "count is 4294967295, expected at most 10000"),
        (sample(data=""), "expected zero_data, random_data or input_data_file"),
        (sample(data="zero_data: false"), "expected zero_data, random_data or input_data_file"),
        (sample().replace("TYPE_FP32", "TYPE_INT32"), "data-type is 'INT32', but model 'scripted' expects 'FP32'"),
        (sample().replace('"x"', '"z"'), "unexpected inference input 'z'"),
        (f'{BATCHING} model_warmup {{ name: "first" batch_size: 1 }}', r"missing required input\(s\) \['x'\]"),
        (sample(data='input_data_file: "none"'), "cannot read .*none: No such file"),
        (sample(data='input_data_file: "short"'), "file 'short': "),
        (sample(data='input_data_file: "../1/model.onnx"'), "is not in "),
        (sample(data='input_data_file: "/etc/hostname"'), "is not in "),
    ],
)
def test_a_sample_that_does_not_fit_is_an_error(text: str, complaint: str, folder: Any, seen: list[np.ndarray]) -> None:
    folder.scripted(batching=text)
    (folder.path / "scripted" / "warmup").mkdir()
    (folder.path / "scripted" / "warmup" / "short").write_bytes(b"1234")
    with pytest.raises(ConfigError, match=f"model 'scripted' version 1 cannot be loaded: warm-up 'first'.*{complaint}"):
        load(folder)
    assert seen == []


def test_a_model_that_fails_is_not_ready(folder: Any, script: Any, serve: Any) -> None:
    folder.scripted(batching=sample())
    script.run = lambda x: 1 / 0
    server = serve(folder, strict=False)
    (row,) = server.dataplane.index()
    assert (row.state, "warm-up 'first': model 'scripted' failed: ZeroDivisionError" in row.reason) == (
        "UNAVAILABLE",
        True,
    )
