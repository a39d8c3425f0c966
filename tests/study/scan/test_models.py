from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, OutputError
from sonic.protocol.modelconfig import parse
from sonic.protocol.modelfolder import read_config
from sonic.study.scan.models import build, change, is_workflow
from sonic.workloads import zoo

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
backend: "identity"
max_batch_size: 64
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
dynamic_batching { preferred_batch_size: [ 16, 64 ] max_queue_delay_microseconds: 50 }
"""
ENSEMBLE = 'platform: "ensemble" ensemble_scheduling { step { model_name: "m" model_version: -1 } }'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in (("m", CONFIG), ("other", CONFIG), ("both", ENSEMBLE)):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(text)
        (tmp_path / "models" / name / "1" / "weights").write_text(name)
    return tmp_path / "models"


def _built(tmp_path: Path, target: str, **settings: object) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    build(folder, target, {"models": "models", **settings}, tmp_path)  # type: ignore[dict-item]
    return folder


def test_the_target_alone_is_served_with_its_files(repository: Path, tmp_path: Path) -> None:
    folder = _built(tmp_path, "m", instances=3)
    assert [path.name for path in folder.iterdir()] == ["m"]
    assert (folder / "m" / "1" / "weights").read_text() == "m"
    assert read_config(folder / "m").instance_group[0].count == 3
    assert not read_config(repository / "m").instance_group  # theirs is as it was


def test_an_ensemble_comes_with_its_steps(repository: Path, tmp_path: Path) -> None:
    folder = _built(tmp_path, "both", instances=2)
    assert sorted(path.name for path in folder.iterdir()) == ["both", "m"]
    assert read_config(folder / "m").instance_group[0].count == 2
    assert not read_config(folder / "both").instance_group


def test_copies_have_names_of_their_own(repository: Path, tmp_path: Path) -> None:
    folder = _built(tmp_path, "m", copies=3, batch=32)
    assert sorted(path.name for path in folder.iterdir()) == ["m", "m-2", "m-3"]
    assert [read_config(path).max_batch_size for path in sorted(folder.iterdir())] == [32] * 3
    assert read_config(folder / "m-2").name == "m-2"
    assert (folder / "m-3" / "1" / "weights").read_text() == "m"


def test_what_settings_change() -> None:
    config = parse(CONFIG)
    change(config, {"batch": 32, "delay_us": 200, "instances": 2, "kind": "gpu"})
    assert list(config.dynamic_batching.preferred_batch_size) == [16]  # 64 would be no batch any more
    assert config.dynamic_batching.max_queue_delay_microseconds == 200
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, 1)
    change(config, {"preferred": "8,24", "batching": True})
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 24]
    change(config, {"batching": False, "delay_us": 0})
    assert not config.HasField("dynamic_batching")


def test_instances_stay_where_they_were() -> None:
    config = parse("instance_group { count: 3 kind: KIND_CPU }")
    change(config, {"instances": 2})
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, 2)
    change(config, {"kind": "gpu"})
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, 1)


def test_a_model_without_a_configuration_gets_none_for_nothing(repository: Path, tmp_path: Path) -> None:
    (repository / "m" / "config.pbtxt").unlink()
    assert not (_built(tmp_path, "m", cores=2) / "m" / "config.pbtxt").exists()


def test_what_settings_do_not_mention_stays() -> None:
    config, same = parse(CONFIG), parse(CONFIG)
    change(config, {})
    assert config == same
    del config.dynamic_batching.preferred_batch_size[:]
    plain = parse('backend: "identity"')
    change(plain, {"batch": 4})
    assert not plain.HasField("dynamic_batching")


def test_a_network_of_the_zoo(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    assert build(tmp_path / "served", "facile-v5", {"copies": 2, "batching": False}, tmp_path) == (
        "facile-v5",
        "facile-v5-2",
    )
    assert (tmp_path / "served" / "facile-v5-2" / "1" / "model.onnx").is_file()
    assert not read_config(tmp_path / "served" / "facile-v5").HasField("dynamic_batching")


def test_the_same_network_in_python_gives_the_same(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).random((5, 46), np.float32)
    answers = []
    for backend in ("onnxruntime", "python"):
        folder = tmp_path / backend
        folder.mkdir()
        build(folder, "facile-v5", {"backend": backend}, tmp_path)
        with sonic.Model(f"local:{folder}/facile-v5") as model:
            answers.append(model(input=rows)["output"])
    np.testing.assert_array_equal(*answers)


def test_a_network_is_built_as_settings_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def built(name: str, folder: Path, **how: object) -> Path:
        asked.update(how)
        (folder / name / "1").mkdir(parents=True)
        return folder / name

    monkeypatch.setattr(zoo, "build", built)
    build(tmp_path, "facile-v5", {"backend": "pytorch", "weights": "random", "width": 0.5}, tmp_path)
    assert asked == {"weights": "random", "width": 0.5, "format": "torchscript"}


def test_models_that_are_not_there(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no model othr; similar: other"):
        _built(tmp_path, "othr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="facile-v9"):
        build(tmp_path / "empty", "facile-v9", {}, tmp_path)
    with pytest.raises(ConfigError, match="backend is for networks of the zoo, but models is"):
        build(tmp_path / "empty", "m", {"models": "models", "backend": "python"}, tmp_path)
    with pytest.raises(OutputError, match="could not be written"):
        build(tmp_path / "gone", "m", {"models": "models"}, tmp_path)


def test_a_workflow_is_served_all_models(repository: Path, tmp_path: Path) -> None:
    assert is_workflow("miniaod")
    assert is_workflow("mine.py")
    assert not is_workflow("m")
    with pytest.raises(ConfigError, match="copies is for models, and miniaod is a workflow"):
        build(tmp_path, "miniaod", {"copies": 2}, tmp_path)
    folder = _built(tmp_path, "miniaod", instances=2)
    assert sorted(path.name for path in folder.iterdir()) == ["both", "m", "other"]
