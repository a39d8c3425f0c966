from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sonic.protocol.ownership import own, remove_abandoned

if TYPE_CHECKING:
    from pathlib import Path


def made(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def test_what_is_owned_is_left_alone_and_what_is_abandoned_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "sonic-1"
    lock = made(path)
    assert own(lock)
    assert not remove_abandoned(path)
    os.close(lock)  # as the system does when a process ends, by whatever signal
    assert remove_abandoned(path)
    assert not path.exists()
    assert remove_abandoned(path), "it is not there any more"


def test_a_file_that_was_taken_for_abandoned_before_it_was_locked_is_not_owned(tmp_path: Path) -> None:
    path = tmp_path / "sonic-1"
    lock = made(path)
    assert remove_abandoned(path)
    assert not own(lock)
    os.close(lock)


def test_a_file_that_somebody_is_looking_at_is_not_owned(tmp_path: Path) -> None:
    first = made(tmp_path / "sonic-1")
    second = os.open(tmp_path / "sonic-1", os.O_RDWR)
    assert own(second)
    assert not own(first)
    os.close(first)
    os.close(second)


def test_what_cannot_be_opened_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("data")
    (tmp_path / "sonic-link").symlink_to(elsewhere)
    assert not remove_abandoned(tmp_path / "sonic-link")
    (tmp_path / "sonic-folder").mkdir()
    assert not remove_abandoned(tmp_path / "sonic-folder")
    assert elsewhere.read_text() == "data"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_lasts_as_long_as_any_process_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "sonic-1"
    lock = made(path)
    assert own(lock)
    keep_read, keep_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(keep_write)
        os.read(keep_read, 1)  # until the parent lets go
        os._exit(0)
    try:
        os.close(lock)
        assert not remove_abandoned(path)
    finally:
        os.close(keep_write)
        os.waitpid(pid, 0)
        os.close(keep_read)
    assert remove_abandoned(path)
