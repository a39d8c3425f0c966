from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import ConfigError
from sonic.protocol import modelfolder
from sonic.protocol.modelconfig import parse
from sonic.server.models.folders import model_folders, select
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_a_model(folder: Any) -> None:
    folder.add("a")
    folder.add("b", version="12")
    (folder.path / "c").mkdir()
    (folder.path / "c" / "config.pbtxt").touch()
    for other in ("d/01", "e/x", ".f/1"):
        (folder.path / other).mkdir(parents=True)
    (folder.path / "g").touch()
    assert [path.name for path in model_folders(folder.path)] == ["a", "b", "c"]


def test_a_name_that_nobody_could_ask_for(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder.identity("a", "FP32")
    (folder.path / "b\udcff" / "1").mkdir(parents=True)  # no UTF-8
    for _ in range(2):
        assert [path.name for path in model_folders(folder.path)] == ["a"]
    assert caplog.messages == [r"folder 'b\udcff' is passed over: a model's name is UTF-8"]


def test_a_folder_that_may_not_be_read_is_a_model_that_cannot_be_loaded(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version_folders(path: Path) -> dict[int, Path]:
        if path.name in ("secret", "lost+found"):
            raise PermissionError(13, "Permission denied")
        return modelfolder.version_folders(path)

    monkeypatch.setattr("sonic.server.models.folders.version_folders", version_folders)
    folder.identity("a", "FP32")
    for name in ("secret", "lost+found"):  # the latter at the root of a volume, and root's
        (folder.path / name).mkdir()
    assert [path.name for path in model_folders(folder.path)] == ["a", "secret"]
    repository = Repository([folder.path], cores=1)
    with pytest.raises(ConfigError, match=r"cannot read .*secret: Permission denied"):
        repository.load_all()
    assert [(row.name, row.state) for row in repository.index()] == [("a", "READY"), ("secret", "UNAVAILABLE")]
    repository.close()


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", ["10"]),
        ("latest { }", ["10"]),
        ("latest { num_versions: 2 }", ["10", "9"]),
        ("latest { num_versions: 7 }", ["10", "9", "1"]),
        ("all { }", ["10", "9", "1"]),
        ("specific { versions: 9 }", ["9"]),
    ],
)
def test_which_versions(policy: str, versions: list[str], folder: Any) -> None:
    for version in ("1", "9", "10"):
        folder.add("a", version=version)
    config = parse(f"version_policy {{ {policy} }}" if policy else "")
    assert list(select(folder.path / "a", config)) == versions


def test_a_version_that_is_missing_is_said(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder.add("a")
    assert list(select(folder.path / "a", parse("version_policy { specific { versions: [ 1, 4 ] } }"))) == ["1"]
    assert "model 'a' has no version 4" in caplog.text
    with pytest.raises(ConfigError, match=r"model 'a' has none of the versions \[3, 4\] of its version_policy"):
        select(folder.path / "a", parse("version_policy { specific { versions: [ 3, 4 ] } }"))


def test_a_model_without_any_version(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no version: expected a folder"):
        select(tmp_path, parse(""))
