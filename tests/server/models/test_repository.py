from __future__ import annotations

import os
import shutil
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, DeadlineExceeded, ModelNotFound, Unavailable
from sonic.limits import available_cores
from sonic.protocol.messages import InferRequest, ModelStatus
from sonic.protocol.modelconfig import parse
from sonic.server.backends import Backend, base
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def opened() -> Iterator[Callable[..., Repository]]:
    made: list[Repository] = []

    def make(*folders: Any, load: bool = True, strict: bool = True, **options: Any) -> Repository:
        made.append(Repository([folder.path for folder in folders], **options))
        if load:
            made[-1].load_all(strict=strict)
        return made[-1]

    yield make
    for repository in made:
        repository.close()


def run(repository: Repository, name: str = "scripted", **more: Any) -> Any:
    x = np.ones((1, 2), np.float32)
    return repository.get(name, **more).submit(InferRequest(name, {"x": x})).result(10)


def test_models_of_two_folders(folder: Any, other_folder: Any, opened: Any) -> None:
    folder.onnx("a")
    other_folder.onnx("b")
    (folder.path / ".hidden" / "1").mkdir(parents=True)
    (folder.path / "notes.txt").touch()
    repository = opened(folder, other_folder)
    assert repository.index() == (ModelStatus("a", "1", "READY"), ModelStatus("b", "1", "READY"))
    assert [model.spec.name for model in repository.models()] == ["a", "b"]
    assert repository.get("b").instances == available_cores()


def test_a_folder_that_is_given_twice(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    assert [model.spec.name for model in opened(folder, folder).models()] == ["a"]


def test_a_read_only_folder(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    paths = [folder.path, *folder.path.rglob("*")]
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    opened(folder)
    for path in paths:
        path.chmod(0o755)
    assert [(path, path.stat().st_mtime_ns) for path in [folder.path, *folder.path.rglob("*")]] == before


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", ["10"]),
        ("version_policy { latest { num_versions: 2 } }", ["2", "10"]),
        ("version_policy { all {} }", ["1", "2", "10"]),
        ("version_policy { specific { versions: [ 1, 10 ] } }", ["1", "10"]),
    ],
)
def test_versions(policy: str, versions: list[str], folder: Any, opened: Any) -> None:
    for version in ("1", "2", "10"):
        folder.onnx("a", config=policy, version=version)
    (folder.path / "a" / "03").mkdir()
    repository = opened(folder)
    assert [model.spec.version for model in repository.models()] == versions
    assert repository.get("a").spec.version == "10"
    assert repository.get("a", versions[0]).spec.version == versions[0]
    with pytest.raises(ModelNotFound, match="unknown model: 'a' version 7 is not found: there is"):
        repository.get("a", "7")


def test_version_zero(folder: Any, opened: Any) -> None:
    folder.onnx("a", version="0")
    repository = opened(folder)
    assert repository.get("a").spec.version == repository.get("a", "0").spec.version == "0"
    assert repository.index() == (ModelStatus("a", "0", "READY"),)
    folder.onnx("a", version="1")
    repository.load("a")
    assert repository.get("a").spec.version == "1"


def test_only_some(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    folder.onnx("b", b"broken")
    assert [row.name for row in opened(folder, only=["a"]).index()] == ["a"]
    with pytest.raises(ConfigError, match=r"no model 'c' in .*models: there is a, b"):
        opened(folder, only=["c"])


def test_the_same_name_twice(folder: Any, other_folder: Any, opened: Any) -> None:
    folder.onnx("a")
    folder.onnx("b")
    other_folder.onnx("a", version="3")
    twice = "model appears in two or more repositories"
    repository = opened(folder, other_folder, load=False)
    assert [row.reason for row in repository.index()] == [twice, "not loaded"]
    repository.load("b")
    with pytest.raises(ConfigError, match=rf"{twice}: .*models/a and .*more/a"):
        repository.load("a")
    assert [(row.name, row.state) for row in repository.index()] == [("a", "UNAVAILABLE"), ("b", "READY")]
    shutil.rmtree(folder.path / "a")
    repository.load("a")
    assert [model.spec.version for model in repository.models()] == ["3", "1"]


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda f: None, "no model in .*models: expected NAME/1/model.onnx"),
        (lambda f: f.path.rmdir(), "no model repository .*models"),
        (lambda f: (f.path / "1").mkdir(), "is one model's folder: give the folder above it"),
        (lambda f: (f.path.rmdir(), f.path.touch()), "cannot read model repository .*: Not a directory"),
    ],
)
def test_no_repository(prepare: Callable[[Any], None], text: str, folder: Any, opened: Any) -> None:
    prepare(folder)
    with pytest.raises(ConfigError, match=text):
        opened(folder)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"cores": 0}, "cores must be 1 or more, given 0"), ({"default_max_batch": 0}, "must be 1 or more, given 0")],
)
def test_bad_options(options: dict[str, int], text: str, folder: Any) -> None:
    with pytest.raises(ConfigError, match=text):
        Repository([folder.path], **options)
    with pytest.raises(ConfigError, match="no model repository is given"):
        Repository([])


def test_models_that_cannot_be_loaded(folder: Any, opened: Any) -> None:
    folder.onnx("good")
    file = folder.onnx("truncated")
    file.write_bytes(file.read_bytes()[:-30])
    folder.onnx("unreadable", config="max_batch_size: eight")
    (folder.path / "empty" / "1").mkdir(parents=True)
    (folder.path / "no_version").mkdir()
    (folder.path / "no_version" / "config.pbtxt").touch()
    folder.onnx("specific", config="version_policy { specific { versions: 4 } }")
    with pytest.raises(ConfigError, match=r"model 'empty' version 1 cannot be loaded: no backend .* \(5 of 6 models"):
        opened(folder)
    repository = opened(folder, strict=False)
    rows = {row.name: row for row in repository.index()}
    assert rows.pop("good").state == "READY"
    assert {row.state for row in rows.values()} == {"UNAVAILABLE"}
    assert "ONNX Runtime cannot load" in rows["truncated"].reason
    assert "config.pbtxt:1:17" in rows["unreadable"].reason
    assert "has no version: expected a folder" in rows["no_version"].reason
    assert "has none of the versions [4]" in rows["specific"].reason
    assert all("\n" not in row.reason for row in rows.values())
    assert repository.failed()
    with pytest.raises(
        Unavailable, match=r"'truncated' has no available versions: unavailable: model .* version 1 cannot"
    ):
        repository.get("truncated")
    with pytest.raises(ModelNotFound, match="Request for unknown model: 'nope' is not found: there is empty, good"):
        repository.get("nope")
    for name in rows:
        assert repository.failed()
        assert not repository.unload(name)
    assert not repository.failed(), "what was unloaded is not missed"


def test_all_versions_or_none(folder: Any, opened: Any) -> None:
    folder.onnx("a", config="version_policy { all {} }")
    folder.onnx("a", b"broken", version="3")
    repository = opened(folder, strict=False)
    with pytest.raises(Unavailable, match=r"'a' has no available versions: .*version 3 cannot be loaded"):
        repository.get("a")
    assert [(row.version, row.state) for row in repository.index()] == [("1", "UNAVAILABLE"), ("3", "UNAVAILABLE")]


def test_a_backend_that_raises_while_loading(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.scripted()
    monkeypatch.setattr("sonic.server.backends.base._registered", {})
    with pytest.raises(ConfigError, match="model 'scripted' version 1 cannot be loaded: unknown backend 'scripted'"):
        opened(folder)


def test_load_and_unload(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    repository = opened(folder, load=False)
    assert repository.index() == (ModelStatus("a", "", "UNAVAILABLE", "not loaded"),)
    with pytest.raises(ModelNotFound, match="Request for unknown model: 'a' is not found: none is loaded"):
        repository.get("a")
    repository.load("a")
    assert repository.get("a").spec.name == "a"
    repository.unload("a")
    assert repository.index() == (ModelStatus("a", "1", "UNAVAILABLE", "unloaded"),)
    assert not repository.failed()
    with pytest.raises(Unavailable, match="unknown model: 'a' has no available versions: unavailable: unloaded"):
        repository.get("a")
    with pytest.raises(ModelNotFound, match="model 'nope'"):
        repository.load("nope")
    assert not repository.unload("nope")


def test_a_reload_takes_the_new_files(folder: Any, opened: Any, make_dense: Callable[..., bytes]) -> None:
    folder.onnx("a")
    repository = opened(folder)
    before = repository.get("a")
    folder.onnx("a", make_dense((4, 3)), version="2")
    repository.load("a")
    assert repository.get("a").spec.version == "2"
    assert [model.spec.version for model in repository.models()] == ["2"]
    assert repository.index() == (ModelStatus("a", "1", "UNAVAILABLE", "unloaded"), ModelStatus("a", "2", "READY"))
    with pytest.raises(Unavailable, match="'a' version 1 is not at ready state: unavailable: unloaded"):
        repository.get("a", "1")
    with pytest.raises(Unavailable, match="is being unloaded"):
        before.submit(InferRequest("a", {"x": np.zeros((1, 4), np.float32)}))


def test_a_model_that_is_as_its_folder_is_stays(folder: Any, opened: Any) -> None:
    file = folder.onnx("a")
    folder.onnx("b")
    repository = opened(folder)
    before = repository.models()
    for _ in range(2):
        repository.load("a")
    (file.parent / "__pycache__").mkdir()
    repository.load("a")
    assert repository.models() == before
    os.utime(file, ns=(1, 1))
    repository.load("a")
    after = repository.models()
    assert after[0] is not before[0]
    assert after[1] is before[1]
    repository.unload("a")
    repository.load("a")
    assert repository.get("a") is not after[0]


def test_a_function_that_is_loaded_stays() -> None:
    @sonic.service(inputs={"x": "FP32[-1]"}, outputs={"y": "FP32[-1]"})
    def twice(x: Any) -> Any:
        return 2 * x

    repository = Repository([twice])
    repository.load("twice")
    before = repository.get("twice")
    repository.load("twice")
    assert repository.get("twice") is before
    repository.load("twice", parse(""))
    assert repository.get("twice") is not before
    repository.close()


def test_a_model_is_loaded_again_after_a_reload_that_failed(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    repository = opened(folder)
    before = repository.get("scripted")
    folder.change("scripted")

    def fail() -> None:
        raise RuntimeError("no room")

    script.load = fail
    with pytest.raises(ConfigError, match="no room"):
        repository.load("scripted")
    assert repository.get("scripted") is before
    script.load = lambda: None
    repository.load("scripted")
    assert repository.get("scripted") is not before


def test_what_changes_while_a_model_is_loaded_is_not_missed(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    script.load = lambda: folder.change("scripted")
    repository = opened(folder)
    before = repository.get("scripted")
    script.load = lambda: None
    repository.load("scripted")
    after = repository.get("scripted")
    assert after is not before
    repository.load("scripted")
    assert repository.get("scripted") is after


def test_an_ensemble_is_loaded_again_after_a_part_of_it(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    folder.scripted("a")
    whole(folder, "e", "a")
    repository = opened(folder)
    before = repository.get("e")
    repository.load("e")
    assert repository.get("e") is before
    folder.change("a")
    repository.load("a")
    repository.load("e")
    assert repository.get("e") is not before


def test_a_reload_that_fails_leaves_what_was_there(folder: Any, opened: Any) -> None:
    folder.onnx("a")
    repository = opened(folder)
    folder.onnx("a", b"broken", version="2")
    with pytest.raises(ConfigError, match="model 'a' version 2 cannot be loaded"):
        repository.load("a")
    assert repository.get("a").spec.version == "1"
    (row,) = repository.index()
    assert (row.version, row.state) == ("1", "READY")
    assert row.reason.startswith("as before: its reload failed: model 'a' version 2 cannot be loaded")
    assert not repository.failed()
    folder.onnx("a", version="2")
    repository.load("a")
    assert repository.get("a").spec.version == "2"


def test_a_configuration_in_place_of_the_folders(folder: Any, opened: Any) -> None:
    folder.onnx("a", config="max_batch_size: 8")
    folder.onnx("a", version="2")
    repository = opened(folder)
    repository.load("a", parse("max_batch_size: 3 version_policy { all {} }"))
    assert [(m.spec.version, m.config.max_batch_size) for m in repository.models()] == [("1", 3), ("2", 3)]
    repository.load("a")
    assert [(m.spec.version, m.config.max_batch_size) for m in repository.models()] == [("2", 8)]
    before = repository.get("a")
    for config in (parse(""), None):  # one that brings a configuration is always done, and so is the one after it
        repository.load("a", config)
        assert repository.get("a") is not before
        before = repository.get("a")


def test_requests_in_hand_end_on_the_old_version(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    repository = opened(folder)
    script.hold()
    running = repository.submit(InferRequest("scripted", {"x": np.ones((1, 2), np.float32)}), inline=False)
    script.wait_started()
    old = repository.get("scripted")
    folder.change("scripted")
    thread = threading.Thread(target=repository.load, args=("scripted",))
    thread.start()
    while repository.get("scripted") is old:
        thread.join(0.001)
    late = repository.submit(InferRequest("scripted", {"x": np.ones((1, 2), np.float32)}), inline=False)
    script.wait_started()  # the old one is still at work
    assert not running.done()
    assert thread.is_alive()
    script.release()
    thread.join(10)
    assert running.result(10).outputs["y"].tolist() == late.result(10).outputs["y"].tolist() == [[2, 2]]


class Whole(Backend):
    """Stands for an ensemble: it has nothing but a configuration."""

    platform = "ensemble"

    def __init__(self, context: Any) -> None:
        for step in context.config.ensemble_scheduling.step:
            context.models.require(step.model_name)

    def instances(self) -> Any:
        return []

    def scheduler(self, spec: Any) -> Any:
        return SimpleNamespace(
            instances=0, pending=0, stop=lambda: None, drain=lambda _: True, close=lambda released: released()
        )


def whole(folder: Any, name: str, *parts: str) -> None:
    steps = "".join(f'step {{ model_name: "{part}" model_version: -1 }}' for part in parts)
    folder.add(
        name,
        f"""platform: "ensemble" ensemble_scheduling {{ {steps} }}
        input {{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}
        output {{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}""",
    )


def test_what_a_model_is_made_of_goes_with_it(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    for name in ("a", "b", "c"):
        folder.scripted(name)
    whole(folder, "one", "a", "b")
    whole(folder, "two", "b", "c")
    repository = opened(folder, load=False)
    repository.load_all(["one", "two"])

    def loaded() -> list[str]:
        return [model.spec.name for model in repository.models()]

    repository.unload("one", dependents=True)
    assert loaded() == ["b", "c", "two"], "b is still needed"
    repository.unload("two")
    assert loaded() == ["b", "c"]
    repository.load("two")
    repository.unload("two", dependents=True)
    assert loaded() == []


def test_what_was_loaded_by_name_stays_without_what_is_made_of_it(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    for name in ("a", "b", "c"):
        folder.scripted(name)
    whole(folder, "inner", "a", "b")
    whole(folder, "outer", "inner", "c")
    repository = opened(folder, load=False)
    repository.load("outer")

    def loaded() -> list[str]:
        return [model.spec.name for model in repository.models()]

    repository.load("b")  # which is loaded already
    repository.unload("outer", dependents=True)
    assert loaded() == ["b"]
    repository.load("outer")
    repository.unload("b")
    repository.load("outer")
    repository.unload("outer", dependents=True)
    assert loaded() == [], "b was loaded for the others alone by then"
    repository.load_all()
    repository.unload("outer", dependents=True)
    assert loaded() == ["a", "b", "c", "inner"], "all were loaded at the start"


def test_what_is_made_of_a_model_goes_and_comes_with_it(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    for name in ("a", "b"):
        folder.scripted(name)
    whole(folder, "inner", "a", "b")
    whole(folder, "outer", "inner")
    repository = opened(folder)

    def loaded() -> list[str]:
        return [model.spec.name for model in repository.models()]

    repository.unload("a")
    assert loaded() == ["b"]
    assert not repository.failed()
    reasons = {row.name: row.reason for row in repository.index()}
    assert reasons["inner"] == "model 'a', which it is made of, is unloaded"
    repository.unload("b")
    repository.load("a")
    assert loaded() == ["a"], "b was unloaded, and stays so"
    repository.load("b")
    assert loaded() == ["a", "b", "inner", "outer"]
    repository.unload("a")
    repository.unload("inner")
    repository.load("a")
    assert loaded() == ["a", "b"], "what is unloaded itself stays so"


def test_what_lacks_a_part_comes_when_that_comes(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    folder.scripted("b")
    whole(folder, "inner", "a", "b")
    whole(folder, "outer", "inner")
    repository = opened(folder, strict=False)

    def loaded() -> list[str]:
        return [model.spec.name for model in repository.models()]

    assert loaded() == ["b"]
    folder.add("a", "?")
    with pytest.raises(ConfigError):
        repository.load("a")
    assert loaded() == ["b"]
    folder.scripted("a")
    repository.load("a")
    assert loaded() == ["a", "b", "inner", "outer"]
    assert not repository.failed()


def test_what_lacks_a_part_comes_no_more_once_it_is_unloaded(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    whole(folder, "e", "a")
    repository = opened(folder, strict=False)
    repository.unload("e")
    folder.scripted("a")
    repository.load("a")
    assert [model.spec.name for model in repository.models()] == ["a"]


def test_an_ensemble_that_cannot_come_back(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    folder.scripted("a")
    whole(folder, "e", "a")
    repository = opened(folder)
    repository.unload("a")
    (folder.path / "e" / "config.pbtxt").write_text("?")
    repository.load("a")
    assert "config.pbtxt:1:1" in caplog.text
    assert [(row.name, row.state) for row in repository.index()][:2] == [("a", "READY"), ("e", "UNAVAILABLE")]


def copies(folder: Any, size: int, batch: int = 4, name: str = "a") -> str:
    """A model that returns vectors of a size, and its configuration."""
    tensors = (
        f'{what} {{ name: "{name}" data_type: TYPE_FP32 dims: {size} }}'
        for what, name in (("input", "x"), ("output", "y"))
    )
    text = f'backend: "identity" max_batch_size: {batch} {" ".join(tensors)}'
    folder.add(name, text)
    return text


def wraps(folder: Any, size: int, *parts: str, name: str = "e") -> None:
    """An ensemble that sends them through others."""
    names = ["x", *(f"t{number}" for number in range(1, len(parts))), "y"]
    steps = "".join(
        f'''step {{ model_name: "{part}" model_version: -1 input_map {{ key: "x" value: "{given}" }}
        output_map {{ key: "y" value: "{made}" }} }}'''
        for part, given, made in zip(parts, names, names[1:], strict=False)
    )
    folder.add(
        name,
        f"""platform: "ensemble" max_batch_size: 4 ensemble_scheduling {{ {steps} }}
        input {{ name: "x" data_type: TYPE_FP32 dims: [ {size} ] }}
        output {{ name: "y" data_type: TYPE_FP32 dims: [ {size} ] }}""",
    )


def size_of(repository: Repository, name: str = "e") -> int:
    (tensor,) = repository.get(name).spec.inputs
    return tensor.shape[1]


def test_the_parts_of_an_ensemble_are_loaded_with_it_if_they_have_changed(
    folder: Any, opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    text = copies(folder, 2)
    wraps(folder, 2, "a")
    wraps(folder, 2, "e", name="outer")
    repository = opened(folder)
    before = repository.get("a")
    copies(folder, 2, batch=8)
    repository.load("outer")
    after = repository.get("a")
    assert after is not before
    repository.load("outer")
    assert repository.get("a") is after
    folder.add("a", "?")
    repository.load("outer")
    assert repository.get("a") is after, "what is there is better than nothing"
    assert "config.pbtxt:1:1" in caplog.text
    repository.load("a", parse(text, "a"))
    repository.load("outer")
    wraps(folder, 2, "a", name="other")
    path = folder.path / "other" / "config.pbtxt"
    path.write_text(path.read_text().replace("model_version: -1", "model_version: 2"))
    with pytest.raises(ConfigError, match="version 2 is not found"):
        repository.load("other")
    assert repository.get("a").spec.max_batch_size == 4, "a client's configuration is not its folder's"


def test_an_ensemble_and_a_part_of_it_that_change_together(folder: Any, opened: Any) -> None:
    copies(folder, 2)
    wraps(folder, 2, "a")
    repository = opened(folder)
    copies(folder, 3)
    wraps(folder, 3, "a")
    repository.load("e")
    assert (size_of(repository), size_of(repository, "a")) == (3, 3)


def test_an_ensemble_that_is_there_becomes_what_its_folder_says_once_its_parts_allow_it(
    folder: Any, opened: Any
) -> None:
    copies(folder, 2)
    wraps(folder, 2, "a")
    repository = opened(folder)
    wraps(folder, 3, "a", "b")
    with pytest.raises(ConfigError):
        repository.load("e")
    copies(folder, 2, batch=8)
    repository.load("a")
    assert size_of(repository) == 2, "as before"
    copies(folder, 3)
    repository.load("a")
    with pytest.raises(Unavailable):
        repository.get("e")
    copies(folder, 3, name="b")
    repository.load("b")
    assert size_of(repository) == 3


def test_an_ensemble_is_made_anew_of_a_model_that_is_another_now(folder: Any, opened: Any) -> None:
    text = copies(folder, 2)
    wraps(folder, 2, "a")
    repository = opened(folder)
    before = repository.get("e")
    repository.load("a", parse(text.replace("max_batch_size: 4", "max_batch_size: 2"), "a"))
    with pytest.raises(Unavailable, match=r"cannot be made of model 'a' as that is now: .*max_batch_size"):
        repository.get("e")
    assert not repository.failed()
    repository.load("a")
    assert repository.get("e") is not before
    x = np.ones((3, 2), np.float32)
    request = InferRequest("e", {"x": x})
    assert repository.submit(request).result(10).outputs["y"].tolist() == x.tolist()
    after = repository.get("e")
    (folder.path / "e" / "config.pbtxt").write_text("?")
    repository.load("a", parse(text.replace("max_batch_size: 4", "max_batch_size: 8"), "a"))
    assert repository.get("e") is not after, "its own configuration is the one that it was loaded with"
    assert repository.submit(request).result(10).outputs["y"].tolist() == x.tolist()


def test_models_are_loaded_and_unloaded_beside_one_that_hangs(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted("hangs")
    folder.onnx("a")
    repository = opened(folder, load=False)
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(30)
    threads = [threading.Thread(target=repository.load, args=("hangs",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert loading.wait(10)
    repository.load("a")
    assert repository.get("a").spec.name == "a"
    assert repository.unload("a")
    assert not repository.settle(0.0)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert script.closed == 0, "the second found it loaded"
    assert repository.settle(10)


def test_a_part_is_not_unloaded_while_what_is_made_of_it_is_loaded(
    folder: Any, opened: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base._registered, "ensemble", Whole)
    for name in ("a", "b"):
        folder.scripted(name)
    whole(folder, "e", "a", "b")
    repository = opened(folder, load=False)
    repository.load("a")
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(30)
    threads = [threading.Thread(target=repository.load, args=("e",))]
    threads[0].start()
    assert loading.wait(10)  # b, after e has found a
    threads.append(threading.Thread(target=repository.unload, args=("a",)))
    threads[1].start()
    assert repository.get("a").spec.name == "a"
    gate.set()
    for thread in threads:
        thread.join(10)
    assert [model.spec.name for model in repository.models()] == ["b"]
    assert {row.name: row.reason for row in repository.index()}["e"] == "model 'a', which it is made of, is unloaded"


def test_unloading_waits_for_requests(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    repository = opened(folder)
    script.hold()
    running = repository.get("scripted").submit(InferRequest("s", {"x": np.ones((1, 2), np.float32)}), inline=False)
    script.wait_started()
    thread = threading.Thread(target=repository.unload, args=("scripted",))
    thread.start()
    script.release()
    thread.join(10)
    assert running.result(0).outputs["y"].tolist() == [[2, 2]]


def test_a_model_is_released_after_an_execution_that_nobody_waits_for(
    folder: Any, opened: Any, script: Any, until: Any
) -> None:
    folder.scripted()
    repository = opened(folder)
    script.hold()
    request = InferRequest("s", {"x": np.ones((1, 2), np.float32)}, timeout_s=0.5)
    running = repository.get("scripted").submit(request, inline=False)
    script.wait_started()
    with pytest.raises(DeadlineExceeded):
        running.result(10)
    assert repository.unload("scripted")
    assert script.closed == 0, "its instance still runs"
    script.release()
    until(lambda: script.closed == 1)


def test_close_ends_what_waits(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted()
    repository = opened(folder)
    script.hold()
    running = repository.get("scripted").submit(InferRequest("s", {"x": np.ones((1, 2), np.float32)}), inline=False)
    script.wait_started()
    repository.close()
    with pytest.raises(Unavailable):
        running.result(10)
    with pytest.raises(Unavailable, match="the server is shut down"):
        repository.get("scripted")


def test_close_does_not_wait_for_a_model_that_is_being_loaded(folder: Any, opened: Any, script: Any) -> None:
    folder.scripted("old")
    folder.scripted("new")
    repository = opened(folder, load=False)
    repository.load("old")
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(10)
    failures: list[BaseException] = []

    def load(name: str) -> None:
        try:
            repository.load(name)
        except Unavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=("new",))]
    threads[0].start()
    assert loading.wait(10)
    assert not repository.settle(0.0)
    repository.close()
    assert script.closed == 1
    threads.append(threading.Thread(target=load, args=("old",)))  # which comes too late
    threads[1].start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert script.closed == 2
    assert [str(failure) for failure in failures] == ["the server is shut down"] * 2
    assert repository.models() == ()
    assert repository.settle(10)


def test_a_model_that_is_replaced_while_the_repository_closes_is_released_once(
    folder: Any, opened: Any, script: Any
) -> None:
    folder.scripted()
    repository = opened(folder)
    script.load = repository.close
    folder.change("scripted")
    with pytest.raises(Unavailable, match="the server is shut down"):
        repository.load("scripted")
    assert script.closed == 2
