"""What the machine is doing: CPU, memory, and GPUs where NVIDIA's library can be asked.

Processors and memory are those of the whole machine, as ``/proc`` shows them; where there is no ``/proc`` they are
unknown. GPUs are seen if the extra ``gpu`` is installed.
"""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

log = logging.getLogger("sonic.server")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. What its driver does not tell is None."""

    uuid: str
    utilization: float
    """From 0 to 1."""
    memory_total_bytes: int
    memory_used_bytes: int
    power_usage_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    """Since the driver was loaded."""
    name: str = ""


class Machine:
    """The machine that this process runs on. Thread-safe.

    Parameters
    ----------
    proc : Path
        Where the kernel shows its state.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._ticks = self._read_ticks()
        self._utilization = 0.0
        self._nvml = _open_nvml()

    @property
    def host_uuid(self) -> str:
        """A name for this host in the form of a GPU's: what stands for it where there is no GPU."""
        return f"CPU-{uuid5(NAMESPACE_DNS, socket.gethostname())}"

    def cpu_utilization(self) -> float | None:
        """Return the share of processor time that was used since the last call, from 0 to 1; None if unknown."""
        with self._lock:
            before, now = self._ticks, self._read_ticks()
            if before is None or now is None:
                return None
            if now[1] > before[1]:  # else it is too soon to tell
                self._utilization = min(1.0, max(0.0, (now[0] - before[0]) / (now[1] - before[1])))
                self._ticks = now
            return self._utilization

    def memory_bytes(self) -> tuple[int, int] | None:
        """Return the memory there is and what of it is used, in bytes; None if unknown."""
        try:
            return parse_meminfo((self._proc / "meminfo").read_text())
        except OSError:
            return None

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs that can be seen; none without NVIDIA's library."""
        if self._nvml is None:
            return ()
        with self._lock:
            try:
                return tuple(_read_gpu(self._nvml, index) for index in range(self._nvml.nvmlDeviceGetCount()))
            except self._nvml.NVMLError as error:  # one has fallen off the bus, say
                log.warning("the GPUs cannot be read: %s", error)
                return ()

    def _read_ticks(self) -> tuple[int, int] | None:
        try:
            return parse_stat((self._proc / "stat").read_text())
        except OSError:
            return None


def parse_stat(text: str) -> tuple[int, int] | None:
    """Return processor time used and processor time passed, in ticks, from the text of ``/proc/stat``."""
    fields = text.partition("\n")[0].split()
    if len(fields) < 5 or fields[0] != "cpu":
        return None
    ticks = [int(field) for field in fields[1:9]]  # what follows, time of guests, is in the first two already
    return sum(ticks) - sum(ticks[3:5]), sum(ticks)


def parse_meminfo(text: str) -> tuple[int, int] | None:
    """Return total and used memory in bytes from the text of ``/proc/meminfo``."""
    found = {line.partition(":")[0]: line.split()[1] for line in text.splitlines() if len(line.split()) > 1}
    if not {"MemTotal", "MemAvailable"} <= found.keys():
        return None
    total, available = int(found["MemTotal"]) * 1024, int(found["MemAvailable"]) * 1024
    return total, total - available


def _open_nvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:  # no driver, mostly
        log.debug("no GPU can be seen: %s", error)
        return None
    return pynvml


def _read_gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(what: str) -> Any:
        try:
            return getattr(nvml, f"nvmlDeviceGet{what}")(handle)
        except nvml.NVMLError:  # not every GPU tells everything
            return None

    uuid, memory, rates = nvml.nvmlDeviceGetUUID(handle), ask("MemoryInfo"), ask("UtilizationRates")
    return Gpu(
        _text(uuid),
        rates.gpu / 100 if rates else 0.0,
        memory.total if memory else 0,
        memory.used if memory else 0,
        power_usage_w=_milli(ask("PowerUsage")),
        power_limit_w=_milli(ask("PowerManagementLimit")),
        energy_j=_milli(ask("TotalEnergyConsumption")),
        name=_text(ask("Name") or ""),
    )


def _milli(given: int | None) -> float | None:
    """Turn thousandths into the unit itself."""
    return None if given is None else given / 1000


def _text(given: bytes | str) -> str:
    """Of a library that gave bytes in older versions."""
    return given.decode() if isinstance(given, bytes) else given
