from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError, DataError, OutputError
from sonic.protocol.checksums import Checksum, read_checksums
from sonic.protocol.digests import digest, mismatches, store, survey
from sonic.protocol.modelfolder import read_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    for name in ("1/model.onnx", "2/model.onnx", "2/weights/a.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "config.pbtxt").write_text('# ours\nname: "m"\n')
    return folder


def test_a_digest_is_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(content)
    assert digest(tmp_path / "f", "MD5") == hashlib.md5(content).hexdigest()
    assert digest(tmp_path / "f", "SHA256") == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match=r"cannot read .*absent: No such file"):
        digest(tmp_path / "absent", "MD5")


def test_what_does_not_match_is_said_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "a").write_bytes(b"a")
    good = Checksum("MD5", "1/a", hashlib.md5(b"a").hexdigest())
    bad = Checksum("SHA256", "1/a", "0" * 64)
    absent = Checksum("MD5", "1/b", "0" * 32)
    assert list(mismatches(tmp_path, [good])) == []
    first, second = mismatches(tmp_path, [good, bad, absent])
    assert first == f"file '1/a' has SHA256 {hashlib.sha256(b'a').hexdigest()}, expected {'0' * 64} by config.pbtxt"
    assert second.startswith("checksum 'MD5:1/b': cannot read ")


def test_every_file_of_every_version_gets_a_digest(model: Path) -> None:
    assert [row.state for row in store(model)] == ["missing"] * 3
    rows = survey(model)
    assert [(row.path, row.algorithm, row.state) for row in rows] == [
        ("1/model.onnx", "MD5", "ok"),
        ("2/model.onnx", "MD5", "ok"),
        ("2/weights/a.bin", "MD5", "ok"),
    ]
    assert rows[0].size_bytes == len("1/model.onnx")
    assert (model / "config.pbtxt").read_text().startswith('# ours\nname: "m"\n')
    assert [path.name for path in model.iterdir() if path.is_file()] == ["config.pbtxt"]


def test_a_model_without_a_configuration_gets_one(model: Path) -> None:
    (model / "config.pbtxt").unlink()
    store(model)
    assert len(read_checksums(read_config(model))) == 3


def test_what_has_changed_is_not_written_over(model: Path) -> None:
    store(model)
    before = (model / "config.pbtxt").read_text()
    (model / "1" / "model.onnx").write_text("1/model.Onnx")
    (model / "2" / "model.onnx").unlink()
    assert [row.state for row in survey(model)] == ["differs", "gone", "ok"]
    problems = [row.problem for row in survey(model)]
    assert problems[0].startswith("file '1/model.onnx' has MD5 ")
    assert problems[1:] == ["file '2/model.onnx' is gone, of which config.pbtxt has a checksum", ""]
    with pytest.raises(ConfigError, match=r"model 'm': file '1/model.onnx' has MD5 .* belongs into a new version"):
        store(model)
    assert (model / "config.pbtxt").read_text() == before
    store(model, force=True)
    assert [row.state for row in survey(model)] == ["ok", "ok"]


def test_algorithms(model: Path) -> None:
    store(model, "SHA256")
    (model / "3").mkdir()
    (model / "3" / "model.onnx").touch()
    store(model)
    assert [(row.path[0], row.algorithm) for row in survey(model)] == [
        *[("1", "SHA256"), ("2", "SHA256"), ("2", "SHA256")],
        ("3", "MD5"),
    ]
    store(model, "MD5")
    assert {row.algorithm for row in survey(model)} == {"MD5"}
    with pytest.raises(ConfigError, match="algorithm 'CRC': one of MD5, SHA256"):
        store(model, "CRC")


def test_files_of_the_model_as_a_whole_keep_theirs(model: Path) -> None:
    (model / "labels.txt").write_text("a")
    text = 'model_repository_agents { agents { name: "checksum" parameters { key: "MD5:labels.txt" value: "%s" } } }'
    (model / "config.pbtxt").write_text(text % hashlib.md5(b"a").hexdigest())
    store(model)
    assert [row.path for row in survey(model) if row.state == "ok"][-1] == "labels.txt"


def test_a_configuration_that_is_a_link_stays_one(model: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.pbtxt"
    (model / "config.pbtxt").replace(shared)
    (model / "config.pbtxt").symlink_to(shared)
    store(model)
    assert (model / "config.pbtxt").is_symlink()
    assert "checksum" in shared.read_text()


def test_a_folder_that_cannot_be_written(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OutputError, match=r"cannot write .*config\.pbtxt: Permission denied"):
        store(model)
    assert [path.name for path in model.iterdir() if path.is_file()] == ["config.pbtxt"]
