"""What of the machine this process may use: processors and memory, as its affinity and its control groups allow.

A container's share is a quota of its control group, of version 1 or 2, which is seen by neither the number of
processors nor the affinity. A group's limits hold for the groups within it, so all of them on the way up count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/")


def available_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use; of a quota, the whole ones, and at least one.

    Parameters
    ----------
    root : Path
        Where the file system begins that the system's state is read from.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        quota = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + _numbers(
            group / "cpu.cfs_period_us"
        )
        if len(quota) == 2 and min(quota) > 0:  # -1 and the word "max" are no limit
            cores = min(cores, quota[0] // quota[1])
    return max(1, cores)


def available_memory_bytes(root: Path = _ROOT) -> int | None:
    """Return the memory that this process may use, in bytes; None if the system does not say.

    Parameters
    ----------
    root : Path
        As for :func:`available_cores`.
    """
    limits = [
        number
        for group in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        for number in _numbers(group / name)
    ]
    lines = _text(root / "proc/meminfo").splitlines()
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, for one controller."""
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one tree and names no controller; version 1 has one for each, under one of these names.
        for mount in [base / controllers, base / controller] if controllers else [base]:
            # From outside of a container its path may not exist within: what is above it does.
            group = mount / path.strip("/")
            yield group
            while group != mount:
                group = group.parent
                yield group


def _numbers(path: Path) -> list[int]:
    """Whole numbers in a file; none if it is not there or holds something else."""
    try:
        return [int(word) for word in _text(path).split()]
    except ValueError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # another system, or one that does not show it
        return ""
