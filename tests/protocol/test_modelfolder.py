from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.protocol.modelfolder import files_of, number, read_config, version_folders

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
    kept = ["0/model.onnx", "1/model.onnx", "1/weights/a.bin", "10/model.onnx", "2/model.py"]
    left = [
        "config.pbtxt",
        "00/model.onnx",
        "01/model.onnx",
        "x/model.onnx",
        "1/.lock",
        "2/__pycache__/model.pyc",
        "1/.git/x",
    ]
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(version_folders(tmp_path)) == [0, 1, 10, 2]
    found = files_of(tmp_path)
    assert sorted(found) == kept
    assert found["1/weights/a.bin"].read_text() == "1/weights/a.bin"
