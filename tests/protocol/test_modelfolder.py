from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError, DataError
from sonic.protocol.checksums import Checksum
from sonic.protocol.modelconfig import parse
from sonic.protocol.modelfolder import digest, files_of, mismatches, number, read_config, version_folders

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("10", 10), ("", -1), ("x", -1), ("\u0663", -1), ("-1", -1)])
def test_versions_are_numbers(text: str, expected: int) -> None:
    assert number(text) == expected


def test_the_configuration_is_optional(tmp_path: Path) -> None:
    assert read_config(tmp_path) == parse("")
    (tmp_path / "config.pbtxt").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path)


def test_the_files_are_those_of_the_versions(tmp_path: Path) -> None:
    kept = ["1/model.onnx", "1/weights/a.bin", "10/model.onnx", "2/model.py"]
    left = ["config.pbtxt", "01/model.onnx", "x/model.onnx", "1/.lock", "2/__pycache__/model.pyc", "1/.git/x"]
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(version_folders(tmp_path)) == [1, 10, 2]
    found = files_of(tmp_path)
    assert sorted(found) == kept
    assert found["1/weights/a.bin"].read_text() == "1/weights/a.bin"


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
