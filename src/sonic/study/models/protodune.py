"""ProtoDUNE's model of jobs that share GPUs, and the number of jobs that one server can take. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ProtoDune:
    """The time of an event, in seconds, of jobs that offload a part of it to GPUs (arXiv:2009.04509, section 4).

    Parameters
    ----------
    cpu_s : float
        The event without a GPU.
    offloaded_part : float
        Of that time, 0 to 1.
    gpu_s : float
        That an event takes on a GPU.
    transmit_s, travel_s : float
        For its bytes to be put on the wire, and to get to the server and back.
    """

    cpu_s: float
    offloaded_part: float
    gpu_s: float
    transmit_s: float
    travel_s: float

    @property
    def latency_s(self) -> float:
        """What the network takes of an event's time."""
        return self.transmit_s + self.travel_s

    @property
    def ideal_s(self) -> float:
        """The event while nobody waits for a GPU."""
        return (1 - self.offloaded_part) * self.cpu_s + self.gpu_s + self.latency_s

    @property
    def jobs_per_gpu(self) -> float:
        """Jobs from which on they wait for each other."""
        return self.ideal_s / self.gpu_s

    @property
    def speed_up(self) -> float:
        """Of an event, while nobody waits."""
        return self.cpu_s / self.ideal_s

    def module_s(self, jobs: ArrayLike, gpus: float = 1.0) -> FloatArray:
        """Return the offloaded part's time by the number of jobs."""
        waiting = np.maximum(0.0, np.asarray(jobs, float) / gpus - self.jobs_per_gpu)
        return np.asarray(self.gpu_s * (1.0 + waiting) + self.latency_s, float)

    def event_s(self, jobs: ArrayLike, gpus: float = 1.0) -> FloatArray:
        """Return the event's time by the number of jobs."""
        return (1 - self.offloaded_part) * self.cpu_s + self.module_s(jobs, gpus)


def jobs_per_server(capacity_per_s: float, objects_per_event: float, events_per_s: float) -> float:
    """Return how many jobs one server can take: R / (objects per event x job's rate), as arXiv:2402.15366 counts them.

    Parameters
    ----------
    capacity_per_s : float
        Objects a second that the server infers when it has enough to do.
    objects_per_event : float
        That a job sends.
    events_per_s : float
        That one job processes while it never waits.
    """
    return capacity_per_s / (objects_per_event * events_per_s)
