from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client import segments
from sonic.client.segments import Segment, available, sweep
from sonic.protocol.ownership import FOLDER, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not available(), reason="this system has no folder of shared memory")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Folder of shared memory with room for 64 kB."""
    options = ["-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    try:
        made = subprocess.run(["mount", *options], capture_output=True, check=False)
    except OSError:
        pytest.skip("needs the mount command")
    if made.returncode:
        pytest.skip("mounting is for the superuser")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_it_is_memory_that_others_can_map_by_its_name() -> None:
    segment = Segment(100_000)
    assert segment.name.startswith(f"{PREFIX}{os.getpid()}-")
    segment.memory[-3:] = 1, 2, 3
    path = FOLDER / segment.name
    assert path.read_bytes() == bytes(99_997) + b"\1\2\3"
    assert path.stat().st_mode & 0o777 == 0o600
    segment.unlink()
    segment.unlink()
    assert not path.exists()
    assert segment.memory[-1] == 3, "who has mapped it keeps it"


def test_it_goes_when_nobody_refers_to_it() -> None:
    segment = Segment(1)
    path, view = FOLDER / segment.name, segment.memory[:]
    del segment
    gc.collect()
    assert not path.exists()
    assert view.tolist() == [0]


def test_a_process_that_ends_leaves_nothing_behind() -> None:
    code = (
        "import sys; from sonic.client.segments import Segment; kept = Segment(10); print(kept.name);"
        "unlinked = Segment(10); unlinked.unlink(); sys.exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert not (FOLDER / done.stdout.strip()).exists()


def forked(work: object) -> tuple[int, str, int]:
    """A child that does some work and then waits to be ended: its number, what it said, and its reins."""
    said_read, said_write = os.pipe()
    reins_read, reins_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reins_write)
            os.write(said_write, str(work()).encode())  # type: ignore[operator]
            os.read(reins_read, 1)
        finally:
            os._exit(0)
    os.close(said_write)
    os.close(reins_read)
    said = os.read(said_read, 1000).decode()
    os.close(said_read)
    return pid, said, reins_write


def test_what_a_killed_process_left_is_swept_and_what_the_living_have_is_not() -> None:
    kept: list[Segment] = []

    def work() -> str:
        kept.append(Segment(10))
        return kept[0].name

    own = Segment(10)
    pid, name, reins = forked(work)
    try:
        assert name not in sweep()
        assert (FOLDER / name).exists()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reins)
    assert name in sweep()
    assert not (FOLDER / name).exists()
    assert (FOLDER / own.name).exists()


def test_a_number_that_another_process_has_by_now_saves_nothing() -> None:
    path = FOLDER / f"{PREFIX}{os.getpid()}-0123456789abcdef"
    path.touch()
    assert path.name in sweep()


def test_a_forked_process_neither_removes_nor_keeps_what_it_inherits() -> None:
    segment = Segment(10)
    path = FOLDER / segment.name

    def work() -> bool:
        segment.unlink()
        return path.exists() and not segments._locks

    pid, said, reins = forked(work)
    try:
        assert said == "True"
        os.close(segments._locks.pop(path))  # as if this process had died
        assert path.name in sweep(), "the lock is not the child's as well"
    finally:
        os.close(reins)
        os.waitpid(pid, 0)


def test_a_full_system_is_an_error_and_no_signal(tiny: Path) -> None:
    first = Segment(32_768, tiny)
    with pytest.raises(OSError, match="No space left") as raised:
        Segment(65_536, tiny)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tiny.iterdir()] == [first.name], "nothing is left of the attempt"
    first.memory[:] = 1
    first.unlink()
    del first
    gc.collect()
    Segment(65_536, tiny).memory[:] = 1


def test_a_limit_on_files_is_an_error_too() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    before = len(segments._locks)
    try:
        with pytest.raises(OSError, match="large"):
            Segment(200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(segments._locks) == before


def test_a_system_without_shared_memory(tmp_path: Path) -> None:
    assert not available(tmp_path / "absent")
    assert sweep(tmp_path / "absent") == ()
    with pytest.raises(OSError, match="No such file"):
        Segment(10, tmp_path / "absent")


def test_a_name_that_was_taken_for_abandoned_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(segments, "own", lambda descriptor: next(answers))
    assert Segment(10, tmp_path).memory.size == 10
    monkeypatch.setattr(segments, "own", lambda descriptor: False)
    with pytest.raises(OSError, match="left to its owner"):
        Segment(10, tmp_path)


def test_many_are_distinct(tmp_path: Path) -> None:
    made = [Segment(8, tmp_path) for _ in range(50)]
    for number, segment in enumerate(made):
        segment.memory[:] = number
    assert [int(np.unique(segment.memory)[0]) for segment in made] == list(range(50))
