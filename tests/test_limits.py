from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sonic.limits import available_cores, available_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": t for name, t in files.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "600000 100000\n"}, 4),
        ("0::/not/seen/from/here\n", {"cpu.max": "200000 100000\n"}, 2),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n"}, 8),
        (
            "5:memory:/y\n4:cpu,cpuacct:/x\n0::/z\n",
            {"cpu/x/cpu.cfs_quota_us": "200000\n", "cpu/x/cpu.cfs_period_us": "50000\n", "y/cpu.max": "1 1\n"},
            4,
        ),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_cores_by_quota(groups: str, files: dict[str, str], cores: int, tmp_path: Path) -> None:
    assert available_cores(system(tmp_path, groups, files)) == cores


def test_cores_by_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = system(tmp_path, "0::/\n", {"cpu.max": "300000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert available_cores(root) == 1


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("", {}, 4096_000),
        ("0::/a\n", {"a/memory.max": "max\n"}, 4096_000),
        ("0::/a\n", {"a/memory.max": "1000\n", "memory.max": "2000\n"}, 1000),
        ("3:memory:/a\n", {"memory/a/memory.limit_in_bytes": "3000\n"}, 3000),
        ("3:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 4096_000),
    ],
)
def test_memory(groups: str, files: dict[str, str], limit: int, tmp_path: Path) -> None:
    root = system(tmp_path, groups, files)
    (root / "proc/meminfo").write_text("MemTotal:  4000 kB\nMemFree: 1 kB\n")
    assert available_memory_bytes(root) == limit


def test_a_system_that_shows_nothing(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8
    assert available_memory_bytes(tmp_path) is None


def test_this_machine() -> None:
    assert available_cores() >= 1
