from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sonic.study.scan import folder as folders
from sonic.study.scan.folder import PREFIX, folder

if TYPE_CHECKING:
    from pathlib import Path


def test_it_goes_with_what_it_is_for_and_what_dead_ones_left_before(tmp_path: Path) -> None:
    left, other = tmp_path / f"{PREFIX}dead", tmp_path / "sonic-other"
    for path in (left, other):
        (path / "models").mkdir(parents=True)
    with folder(tmp_path) as first, folder(tmp_path) as second:
        assert first.is_dir()  # which is locked, and so not taken for abandoned
        assert second.is_dir()
        (first / "models").mkdir()
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [other]


def test_one_that_another_scan_took_for_abandoned_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def taken(path: Path) -> int:
        made.append(path)
        if len(made) == 1:
            path.rmdir()
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(folders, "_open", taken)
    with folder(tmp_path) as path:
        assert path == made[1]
    monkeypatch.setattr(folders, "own", lambda _: False)
    with pytest.raises(OSError, match="was left to its owner in 8 tries"), folder(tmp_path):
        pass
