"""How long a model's executions take, learnt from those that were. Not thread-safe: its owner's lock guards it."""

from __future__ import annotations

from math import inf

_LATEST = 0.2
"""Weight of the latest execution in the usual one."""
_SLOWER = 1.25
"""A slow execution raises what is expected by this factor at most: mostly another process had the core."""


def short_s_on(cores: float) -> float:
    """Return how long an execution may take, in seconds, for an event loop with so many cores to do it itself."""
    # To hand it to a thread would cost more. Without a core for that thread, the loop would be held up anyway.
    return 3e-4 if cores > 1 else 2e-3


class Pace:
    """What is expected of the next execution.

    Attributes
    ----------
    usual_s : float
        How long one usually takes, from its start to its end; 0 before the first.
    """

    def __init__(self) -> None:
        self.usual_s = 0.0
        self._least_s = inf  # processor time of an execution, whatever its size
        self._byte_s = inf  # and for each byte of its inputs

    def learn(self, lasted_s: float, busy_s: float, n_bytes: int) -> None:
        """Take note of an execution.

        Parameters
        ----------
        lasted_s : float
        busy_s : float
            What the processor had to do.
        n_bytes : int
            Of its inputs.
        """
        self.usual_s += _LATEST * (lasted_s - self.usual_s)
        self._least_s = min(busy_s, _SLOWER * self._least_s)
        self._byte_s = min(busy_s / max(1, n_bytes), _SLOWER * self._byte_s)

    def expected_s(self, n_bytes: int) -> float:
        """Return the processor time expected of an execution with inputs of that size; infinite before the first."""
        return max(self._least_s, self._byte_s * n_bytes)
