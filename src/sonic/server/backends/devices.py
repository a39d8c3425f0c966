"""Where the instances of a model execute: what its instance groups ask for against the devices that there are."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup

if TYPE_CHECKING:
    from sonic.protocol.proto.model_config_pb2 import ModelConfig

log = logging.getLogger("sonic.server")


def place(
    config: ModelConfig, name: str, *, gpus: int, cores: int, threads: int = 1, without: str = ""
) -> list[int | None]:
    """Return the device of each instance: the number of a GPU, or None for the CPU.

    As in Triton, KIND_GPU means `count` instances on each GPU that the group names, or on each there is; KIND_AUTO and
    a configuration without groups mean the GPUs if there are any. On the CPU instances times threads never exceed the
    cores.

    Parameters
    ----------
    config : ModelConfig
    name : str
        The model's, for messages.
    gpus : int
        GPUs that there are; they are numbered from 0.
    cores, threads : int
        Cores that all instances may keep busy, and those that one on the CPU does.
    without : str
        Why there is no GPU, if there is none; asking for one is then an error. Empty: what asks for one runs on the
        CPU, with a warning.

    Raises
    ------
    ConfigError
        If a group asks for a GPU that is not there, or has KIND_MODEL.
    """
    carried = max(1, cores // threads)
    if not config.instance_group:
        return list(range(gpus)) or [None] * carried
    placed: list[int | None] = []
    on_cpu = 0
    for group in config.instance_group:
        count = max(1, group.count)
        if group.kind == ModelInstanceGroup.KIND_MODEL:
            raise ConfigError("instance groups of KIND_MODEL are not offered: KIND_CPU, KIND_GPU or KIND_AUTO")
        if group.kind == ModelInstanceGroup.KIND_CPU or not gpus:
            if group.kind == ModelInstanceGroup.KIND_GPU:
                if without:
                    raise ConfigError(f"instance group {group.name!r} asks for a GPU: {without}")
                log.warning("model %r asks for a GPU and there is none that it can use: it runs on the CPU", name)
            on_cpu += count
            continue
        for device in group.gpus or range(gpus):
            if not 0 <= device < gpus:
                raise ConfigError(f"instance group {group.name!r} names GPU {device}: there are 0 to {gpus - 1}")
            placed += [device] * count
    return placed + [None] * min(on_cpu, carried)


def nvidia_gpus(devices: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """Return how many GPUs of NVIDIA this process may see, by the driver and ``CUDA_VISIBLE_DEVICES``."""
    try:
        there = sum(1 for _ in devices.iterdir())
    except OSError:  # no driver
        return 0
    return _visible(there, "CUDA_VISIBLE_DEVICES")


def amd_gpus(nodes: Path = Path("/sys/class/kfd/kfd/topology/nodes")) -> int:
    """Return how many GPUs of AMD this process may see, by the driver and ``HIP_VISIBLE_DEVICES``."""
    there = 0
    for node in nodes.glob("*/gpu_id"):
        try:
            there += node.read_text().strip() not in ("", "0")  # processors are nodes too, of number 0
        except OSError:  # one that a container does not let us see
            continue
    return _visible(there, "HIP_VISIBLE_DEVICES")


def _visible(there: int, variable: str) -> int:
    """Return how many of the GPUs a list in the environment leaves, as CUDA reads it.

    The CUDA programming guide: GPUs behind the first entry that is none are not visible. One that is named twice makes
    the list void, which no manual tells; PyTorch (``torch.cuda._parse_visible_devices``) counts them so as well.
    """
    visible = os.environ.get(variable)
    if visible is None:
        return there
    named: set[str | int] = set()
    for each in map(str.strip, visible.split(",")):
        if not each.startswith(("GPU-", "MIG-")) and not (each.isdecimal() and int(each) < there):
            break
        entry = int(each) if each.isdecimal() else each
        if entry in named:
            return 0
        named.add(entry)
    return min(there, len(named))
