from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.watched import WatchedFile

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} is no number") from error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("1")
    return tmp_path / "file"


def replace(path: Path, text: str) -> None:
    """As it should be done: no reader finds half of it."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def test_it_is_read_again_only_when_it_changes(path: Path) -> None:
    calls: list[Path] = []

    def counted(path: Path) -> int:
        calls.append(path)
        return read(path)

    watched = WatchedFile(path, counted)
    assert [watched.get(), watched.get()] == [1, 1]
    replace(path, "2")
    assert [watched.get(), watched.get()] == [2, 2]
    assert len(calls) == 2


def test_a_file_that_is_written_over(path: Path) -> None:
    watched = WatchedFile(path, read)
    path.write_text("23")
    assert watched.get() == 23
    os.utime(path, ns=(0, 0))
    path.write_text("32")  # as long as before
    assert watched.get() == 32


def test_a_link_that_is_turned(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    watched = WatchedFile(link, read)
    (tmp_path / "other").write_text("3")
    (tmp_path / "turned").symlink_to(tmp_path / "other")
    (tmp_path / "turned").replace(link)
    assert watched.get() == 3


def test_what_cannot_be_read_leaves_what_there_was(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = WatchedFile(path, read)
    with caplog.at_level(logging.WARNING, "sonic.watched"):
        replace(path, "x")
        assert [watched.get(), watched.get()] == [1, 1]
        path.unlink()
        assert [watched.get(), watched.get()] == [1, 1]
    assert [record.message for record in caplog.records] == [
        "file is no number: what it said before stays in force"
    ] * 2  # once for each change
    replace(path, "4")
    assert watched.get() == 4


def test_a_file_that_cannot_be_read_from_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no number"):
        WatchedFile(tmp_path / "absent", read)
