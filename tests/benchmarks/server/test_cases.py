from __future__ import annotations

import numpy as np
import pytest

from benchmarks.server import floor
from benchmarks.server.cases import CASES, session
from sonic.protocol import modelconfig
from sonic.server.models.inspection import inspect

BY_NAME = {case.name: case for case in CASES}
SMALL = [name for name in BY_NAME if name != "resnet50"]  # whose weights take a second


@pytest.mark.parametrize("name", SMALL)
def test_the_model_takes_the_request_and_the_configuration_says_the_same_of_it(name: str, tmp_path) -> None:
    case = BY_NAME[name]
    model = case.write(tmp_path)
    outputs = floor.right_outputs(case, model)
    config = modelconfig.parse((tmp_path / name / "config.pbtxt").read_text())
    assert not [finding for finding in inspect(tmp_path / name)[1] if finding.level == "error"]
    assert {tensor.name for tensor in config.input} == set(case.shapes)
    assert {tensor.name for tensor in config.output} == set(outputs)
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in outputs.values())
    skip = int(config.max_batch_size > 0)
    for tensor in config.input:
        shape = case.shapes[tensor.name][skip:]
        assert all(dim in (-1, size) for dim, size in zip(tensor.dims, shape, strict=True))


def test_models_are_the_same_in_every_run(tmp_path) -> None:
    case = BY_NAME["dense16"]
    first, second = (case.write(tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert all((case.inputs()[name] == array).all() for name, array in case.inputs().items())


@pytest.mark.parametrize(("name", "n_bytes"), [("dense16000", 960_000), ("identity-1MB", 1_000_000)])
def test_requests_are_as_large_as_they_are_called(name: str, n_bytes: int) -> None:
    assert BY_NAME[name].request_bytes == n_bytes


def test_resnet_makes_a_thousand_classes_of_an_image(tmp_path) -> None:
    case = BY_NAME["resnet50"]
    model = case.write(tmp_path)
    (output,) = session(model).get_outputs()
    assert output.shape == ["batch", 1000]
    (scores,) = floor.right_outputs(case, model).values()
    assert np.isfinite(scores).all()
    assert scores.std() > 0
