from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import ConfigError
from sonic.protocol.digests import store
from sonic.protocol.facts import Finding
from sonic.server.models.inspection import inspect, models_in, outline

if TYPE_CHECKING:
    from pathlib import Path

TENSORS = (
    'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 2 ]%s } '
)
CONFIG = f'backend: "onnxruntime" max_batch_size: 8 {TENSORS % ""}'
CHECKSUMS = "it has no checksums: sonic models checksum --write adds them"


def errors(path: Path) -> list[str]:
    return [finding.text for finding in inspect(path)[1] if finding.level == "error"]


def notes(path: Path) -> list[str]:
    return [finding.text for finding in inspect(path)[1] if finding.level == "note"]


def test_a_model_in_order(folder: Any) -> None:
    model = folder.onnx("a").parents[1]
    store(model)
    facts, findings = inspect(model)
    assert findings == ()
    assert (facts.name, facts.versions, facts.kind, facts.state) == ("a", ("1",), "onnxruntime", "")
    assert facts.spec is not None
    assert [tensor.name for tensor in (*facts.spec.inputs, *facts.spec.outputs)] == ["x", "y"]
    assert [(row.path, row.state) for row in facts.files] == [("1/model.onnx", "ok")]
    assert facts.size_bytes == (model / "1" / "model.onnx").stat().st_size
    assert facts.config.instance_group[0].count >= 1
    assert facts.config.HasField("model_repository_agents")


def test_an_outline_loads_nothing(folder: Any) -> None:
    model = folder.onnx("a", b"no model at all").parents[1]
    folder.onnx("a", b"no model at all", version="12")
    facts = outline(model)
    assert (facts.versions, facts.kind, facts.spec, facts.size_bytes) == (("12",), "onnxruntime", None, 30)


def test_which_folders_are_models(folder: Any, tmp_path: Path) -> None:
    model = folder.onnx("a").parents[1]
    assert models_in(folder.path) == models_in(model) == [model]
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(ConfigError, match=r"no model"):
            models_in(place)


def test_a_configuration_that_cannot_be_read(folder: Any) -> None:
    folder.onnx("a", config="input {")
    (text,) = errors(folder.path / "a")
    assert "config.pbtxt:1:" in text


def test_an_unknown_field_and_what_is_wrong_besides(folder: Any) -> None:
    folder.onnx("a", config=CONFIG.replace("dims: [ 2 ]", "dims: [ 3 ]") + "dynamic_batchin { }", version="1")
    first, second = errors(folder.path / "a")
    assert 'no field named "dynamic_batchin"' in first
    assert second == "output 'y' has dims [3], in the file [2]"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('name: "b"', "config.pbtxt names it 'b', unlike its folder"),
        ('backend: "openvino"', "unknown backend 'openvino': one of "),
        ('backend: "onnxruntime" default_model_filename: "../b/model.onnx"', "is not in the model's folder"),
        ('backend: "onnxruntime" default_model_filename: "other.onnx"', "there is no file "),
        (CONFIG.replace("FP32", "FP64", 1), "input 'x' is FP64, in the file FP32"),
        (CONFIG.replace('"x"', '"z"'), "the file has no input 'z', it has x"),
        (CONFIG.replace("8", "-1"), "max_batch_size is -1"),
        ("version_policy { specific { versions: [ 1, 3 ] } }", "has no version 3, which its version_policy names"),
        ("version_policy { specific { versions: 3 } }", "has none of the versions [3]"),
        ("sequence_batching { }", "sequence_batching is not offered"),
        (CONFIG.replace("[ 2 ]", '[ 2 ] label_filename: "labels.txt"'), "'labels.txt' cannot be read: No such file"),
        (
            CONFIG + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 '
            'input_data_file: "absent" } } }',
            "absent",
        ),
        (
            'model_repository_agents { agents { name: "checksum" parameters { key: "MD5:1/x" value: "1" } } }',
            "expected 32 hexadecimal digits",
        ),
        ('model_repository_agents { agents { name: "decrypt" } }', "repository agent 'decrypt' is not known"),
    ],
)
def test_what_is_wrong(config: str, says: str, folder: Any) -> None:
    folder.onnx("a", config=config)
    (text,) = errors(folder.path / "a")
    assert says in text
    assert "\n" not in text
    assert not text.startswith("model 'a'")


def test_several_things_are_a_line_each(folder: Any, make_dense: Any) -> None:
    config = CONFIG.replace("[ 2 ]", '[ 2 ] label_filename: "labels.txt"').replace("TYPE_FP32", "TYPE_FP64", 1)
    model = folder.onnx("a", config=config).parents[1]
    store(model)
    folder.onnx("a", make_dense(seed=2))
    lines = errors(model)
    assert [line.partition(" ")[0] for line in lines] == ["file", "output", "input"]


def test_a_file_that_is_no_model(folder: Any) -> None:
    folder.onnx("a", b"no model at all")
    (text,) = errors(folder.path / "a")
    assert text.startswith("ONNX Runtime cannot load ")


def test_every_version_that_is_served_is_loaded(folder: Any) -> None:
    for version, content in (("1", b"a"), ("2", None), ("3", b"b")):
        folder.onnx("a", content, config="version_policy { latest { num_versions: 2 } }", version=version)
    (folder.path / "a" / "04").mkdir()
    facts, findings = inspect(folder.path / "a")
    assert facts.versions == ("2", "3")
    (error,) = [finding.text for finding in findings if finding.level == "error"]
    assert error.startswith(f"ONNX Runtime cannot load {folder.path / 'a' / '3'}")
    assert Finding("a", "version 1 is there and not served, by its version_policy", "note") in findings
    assert Finding("a", "folder '04' is no version: versions are 1, 2, 3 ...", "note") in findings


def test_labels_that_do_not_fit_are_noted(folder: Any) -> None:
    folder.onnx("a", config=CONFIG.replace("[ 2 ]", '[ 2 ] label_filename: "labels.txt"'))
    (folder.path / "a" / "labels.txt").write_text("b\nc\nd\n")
    assert notes(folder.path / "a") == [CHECKSUMS, "output 'y' has 2 values and 3 labels"]


def test_files_without_a_checksum_are_noted(folder: Any) -> None:
    model = folder.onnx("a").parents[1]
    store(model)
    (model / "1" / "more.bin").touch()
    assert notes(model) == ["no checksum of 1/more.bin"]


def test_a_gpu_that_only_this_machine_lacks(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.server.backends.onnx.count_gpus", lambda *_: 0)
    folder.onnx("a", config=CONFIG + "instance_group { kind: KIND_GPU }")
    assert errors(folder.path / "a") == []
    (text,) = [note for note in notes(folder.path / "a") if note != CHECKSUMS]
    assert text.startswith("not on this machine: ")
    folder.onnx("a", config=CONFIG.replace("FP32", "INT8", 1) + "instance_group { kind: KIND_GPU }")
    assert len(errors(folder.path / "a")) == 1


ENSEMBLE = """
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "out" data_type: TYPE_FP32 dims: [ %s ] }
ensemble_scheduling { step {
  model_name: "%s" model_version: -1
  input_map { key: "x" value: "in" } output_map { key: "y" value: "out" }
} }
"""


def test_an_ensemble_is_checked_against_its_steps(folder: Any) -> None:
    folder.onnx("a", config=CONFIG)
    folder.add("e", ENSEMBLE % (2, "a"))
    facts, findings = inspect(folder.path / "e")
    assert [finding for finding in findings if finding.level == "error"] == []
    assert facts.kind == "ensemble"
    folder.add("e", ENSEMBLE % (3, "a"))
    (text,) = errors(folder.path / "e")
    assert text.startswith("tensor 'out' has the shape [-1, 2] from step 1 (model 'a') and [-1, 3] for the ensemble")
    folder.add("e", ENSEMBLE % (2, "absent"))
    (text,) = errors(folder.path / "e")
    assert "absent" in text


def test_the_server_s_warnings_are_notes_and_not_printed(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder.onnx("a", config=CONFIG + "dynamic_batching { } instance_group { kind: KIND_CPU count: 1 }")
    with caplog.at_level(logging.WARNING):
        inspect(folder.path / "a")
        errors(folder.path / "a")
    assert caplog.messages == []
    assert logging.getLogger("sonic.server").propagate
