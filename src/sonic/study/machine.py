"""The machine that a study runs on, and its clock."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

from sonic.limits import available_cores
from sonic.study.records import Machine


def this_machine() -> Machine:
    """Return what there is to say of this machine."""
    return Machine(system=platform.platform(), processor=_processor(), cores=available_cores(), gpus=_gpus())


def utc_now() -> str:
    """Return the time as records have it: ISO 8601 to the second, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _gpus() -> tuple[str, ...]:
    from sonic.server.machine.hardware import Machine as Hardware

    return tuple(gpu.name for gpu in Hardware().gpus())
