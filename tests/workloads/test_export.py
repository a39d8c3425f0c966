from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnxruntime  # noqa: E402

from sonic.errors import OutputError  # noqa: E402
from sonic.protocol.digests import survey  # noqa: E402
from sonic.protocol.modelconfig import parse  # noqa: E402
from sonic.workloads import export  # noqa: E402
from sonic.workloads.networks.catalogue import blueprint  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.timeout(300)  # exporting takes seconds, and a minute on a busy machine


@pytest.fixture(params=["particlenet-ak4", "deepmet"])
def folder(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Path:
    return tiny_models[request.param]


def test_onnx_is_readable_by_older_runtimes_and_names_no_file_of_this_machine(folder: Path):
    raw = (folder / "1" / "model.onnx").read_bytes()
    model = onnx.load_from_string(raw)
    assert model.ir_version <= 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", export.OPSET)]
    assert b"site-packages" not in raw
    assert b".py" not in raw


def test_the_same_seed_gives_the_same_file(tiny_models: dict[str, Path], tmp_path: Path):
    again = export.write(
        "deepmet", export.random_network("deepmet", 0.25, seed=3), tmp_path / "m", {"weights": "random"}
    )
    for file in ("1/model.onnx", "config.pbtxt", "metrics.json"):
        assert (again / file).read_bytes() == (tiny_models["deepmet"] / file).read_bytes()


def test_onnx_gives_what_pytorch_gives(folder: Path):
    network = export.random_network(folder.name, 0.25, seed=3)
    plan = blueprint(folder.name)
    deviations = export.deviation(plan, network, onnx.load(folder / "1" / "model.onnx"), rows=30)
    assert np.median(deviations) < 1e-6
    # One of these might have neighbours equally far to rounding, of which either may be chosen.
    assert np.sort(deviations)[-2] < 1e-5
    assert deviations.max() < 0.05


def test_every_file_has_its_checksum(folder: Path):
    assert [(row.path, row.state) for row in survey(folder)] == [("1/model.onnx", "ok")]


def test_the_configuration_is_that_of_the_model(folder: Path):
    config = parse((folder / "config.pbtxt").read_text())
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert {i.name for i in config.input} == {i.name for i in session.get_inputs()}
    for declared in config.input:
        (found,) = (i for i in session.get_inputs() if i.name == declared.name)
        assert list(declared.dims) == found.shape[1:]
    assert [o.name for o in config.output] == [o.name for o in session.get_outputs()]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_row_s_bits_depend_neither_on_its_batch_nor_on_threads(folder: Path, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])
    arrays = export.example_inputs(folder.name, 9)
    (whole,) = session.run(None, arrays)
    for batch in (1, 2, 4):
        parts = [
            session.run(None, {name: a[start : start + batch] for name, a in arrays.items()})[0]
            for start in range(0, 9, batch)
        ]
        assert np.array_equal(np.concatenate(parts), whole), f"batches of {batch}"


def test_figures_that_are_not_there_are_null_in_json(tmp_path: Path):
    known = {"auc": {"b": float("nan"), "in_pt": [0.5, float("inf")]}, "figure": "none"}
    network = export.random_network("deepmet", 0.25, 0)
    written = export.write("deepmet", network, tmp_path / "deepmet", known, format="torchscript")
    text = (written / "metrics.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["auc"] == {"b": None, "in_pt": [0.5, None]}
    assert found["figure"] == "none"


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    network = export.random_network("deepmet", 0.25, 0)
    with pytest.raises(OutputError, match="could not be written"):
        export.write("deepmet", network, tmp_path / "file" / "deepmet", {}, format="torchscript")
