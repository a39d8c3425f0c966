from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sonic.errors import OutputError
from sonic.files import appearing, check_writable, replacing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_is_replaced_needs_a_folder_that_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "closed" / "r.json")
    (tmp_path / "closed").mkdir()
    if there:
        (tmp_path / "closed" / "r.json").touch()
    check_writable(tmp_path / "link.json")
    # Root may write anywhere, so nothing else makes a folder closed to whoever runs this.
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "closed")
    for name in ("closed/r.json", "link.json"):
        with pytest.raises(OutputError, match="not yours to write to"):
            check_writable(tmp_path / name)
        with pytest.raises(OutputError, match="not yours to write to"):
            check_writable(tmp_path / "r.json", None, tmp_path / name)
    check_writable(tmp_path / "r.json", None, "/dev/null")


@pytest.mark.parametrize("error", [ValueError("halfway"), OSError(28, "No space left")])
def test_nothing_is_left_of_a_file_that_is_not_whole(tmp_path: Path, error: Exception) -> None:
    target = tmp_path / "r.json"

    def write(text: str, error: Exception | None) -> None:
        with replacing(target) as part:
            part.write_text(text)
            if error is not None:
                raise error

    write("before", None)
    with pytest.raises((ValueError, OutputError), match=r"^halfway|^cannot write .*r\.json: No space left"):
        write("half", error)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("r.json", "before")]


def test_a_pipe_is_written_to_also_by_the_name_that_standard_output_has() -> None:
    read, write = os.pipe()
    with replacing(f"/dev/fd/{write}") as part:
        part.write_text("{}")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "{}"


def test_of_two_who_make_a_folder_at_once_one_has_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "1"
    first, second = appearing(target), appearing(target)
    for each, name in ((first, "first"), (second, "second")):
        (each.__enter__() / "who").write_text(name)
    first.__exit__(None, None, None)
    with pytest.raises(OutputError, match="1 is there already"):
        second.__exit__(None, None, None)
    assert (target / "who").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["1"]


def test_a_folder_that_cannot_be_made_or_is_not_finished_is_not_there(tmp_path: Path) -> None:
    def make(name: str, *, interrupted: bool = False) -> None:
        with appearing(tmp_path / name) as work:
            (work / "part").touch()
            if interrupted:
                raise KeyboardInterrupt

    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        make("file/x")
    with pytest.raises(OutputError, match="file is there already"):
        make("file")
    with pytest.raises(KeyboardInterrupt):
        make("half", interrupted=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
