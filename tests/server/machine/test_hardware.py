from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sonic.server.machine.hardware import Gpu, Machine, parse_meminfo, parse_stat

if TYPE_CHECKING:
    from pathlib import Path

STAT = "cpu  {user} 0 10 {idle} 5 0 0 0 99 0\ncpu0 1 2 3 4\n"


def test_processor_time() -> None:
    assert parse_stat(STAT.format(user=20, idle=65)) == (30, 100)  # waiting for disks is idle; guests are users
    assert parse_stat("cpu 1 2 3") is None
    assert parse_stat("") is None


def test_memory() -> None:
    assert parse_meminfo("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  30 kB\nHugePages_Total: 0\nodd\n") == (
        102_400,
        71_680,
    )
    assert parse_meminfo("MemTotal: 100 kB\n") is None


def test_utilization_is_that_since_the_last_call(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(STAT.format(user=0, idle=0))
    machine = Machine(tmp_path)
    stat.write_text(STAT.format(user=30, idle=70))
    assert machine.cpu_utilization() == pytest.approx(0.3)
    assert machine.cpu_utilization() == pytest.approx(0.3)  # nothing passed: as before
    stat.write_text(STAT.format(user=130, idle=70))
    assert machine.cpu_utilization() == pytest.approx(1.0)


def test_a_system_that_shows_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.cpu_utilization() is None
    assert machine.memory_bytes() is None


def test_this_machine() -> None:
    machine = Machine()
    used = machine.cpu_utilization()
    assert used is None or 0 <= used <= 1
    memory = machine.memory_bytes()
    assert memory is None or 0 < memory[1] < memory[0]
    assert machine.host_uuid == Machine().host_uuid
    assert machine.host_uuid.startswith("CPU-")


class FakeNvml(SimpleNamespace):
    class NVMLError(Exception):
        pass

    def __init__(self, **more: Any) -> None:
        super().__init__(
            nvmlInit=lambda: None,
            nvmlDeviceGetCount=lambda: 2,
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetUUID=lambda handle: [b"GPU-0", "GPU-1"][handle],
            nvmlDeviceGetName=lambda handle: [b"A", "B"][handle],
            nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80, used=8),
            nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50 * handle),
            nvmlDeviceGetPowerUsage=lambda _: 70_500,
            nvmlDeviceGetPowerManagementLimit=lambda _: 300_000,
            nvmlDeviceGetTotalEnergyConsumption=self.refuse,
        )
        vars(self).update(more)

    def refuse(self, *_: object) -> None:
        raise self.NVMLError("not supported")


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert Machine().gpus() == (
        Gpu("GPU-0", 0.0, 80, 8, 70.5, 300.0, name="A"),
        Gpu("GPU-1", 0.5, 80, 8, 70.5, 300.0, name="B"),
    )


def test_without_a_driver_or_with_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Machine().gpus() == ()
    for broken in ("nvmlInit", "nvmlDeviceGetUUID"):
        fake = FakeNvml()
        setattr(fake, broken, fake.refuse)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        assert Machine().gpus() == ()
