"""How many servers there should be: the rule of SuperSONIC's autoscaler. Pure: time is an argument.

There KEDA asks Prometheus for a metric every 30 s, and Kubernetes' horizontal autoscaler goes to the number of
replicas that follows, not at once but by one replica in 30 s, and only when that was so for 120 s (``scaleUp`` and
``scaleDown`` of SuperSONIC's chart). The metric is the queue time per execution of late, in milliseconds:
rate(queue time) / rate(executions), over all servers (``serverLoadThreshold``).
"""

from __future__ import annotations

from collections import deque
from math import ceil, isfinite
from typing import Literal

import msgspec

from sonic.errors import ConfigError

_TOLERANCE = 0.1
"""Kubernetes leaves the number alone where the metric is so near its threshold."""


class Scaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When servers are added and removed.

    Parameters
    ----------
    threshold_ms : float
        Of the queue time per execution.
    least, most : int
        Servers.
    window_s : float
        Over which the metric is taken.
    poll_s : float
        How often it is looked at.
    metric_type : {"AverageValue", "Value"}
        What Kubernetes calls so: whether the threshold is each server's part of the metric, or that of the whole.
    up_stable_s, down_stable_s : float
        More, or fewer, must have been wanted for so long.
    up_period_s, down_period_s : float
        Between two steps.
    up_step, down_step : int
        Servers a step.
    start_s : float
        From the decision to the first request that a new server takes.

    Raises
    ------
    ConfigError
    """

    threshold_ms: float = 100.0
    least: int = 1
    most: int = 10
    window_s: float = 30.0
    poll_s: float = 30.0
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"
    up_stable_s: float = 120.0
    down_stable_s: float = 120.0
    up_period_s: float = 30.0
    down_period_s: float = 30.0
    up_step: int = 1
    down_step: int = 1
    start_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ConfigError(f"scaling needs 1 <= least <= most, given {self.least} and {self.most}")
        for name in ("threshold_ms", "window_s", "poll_s"):
            if not (getattr(self, name) > 0 and isfinite(getattr(self, name))):
                raise ConfigError(f"{name} of scaling is above 0, given {getattr(self, name):g}")


class Scaler:
    """Decides, from counters that only grow, how many servers there should be.

    Parameters
    ----------
    rule : Scaling
    """

    def __init__(self, rule: Scaling) -> None:
        self._rule = rule
        self._seen: deque[tuple[float, float, int]] = deque()
        self._wanted: deque[tuple[float, int]] = deque()
        self._stepped_s = {True: float("-inf"), False: float("-inf")}

    def metric_ms(self, now_s: float, queue_s: float, executions: int) -> float:
        """Take note of the counters, and return the queue time per execution over the window.

        Parameters
        ----------
        now_s : float
        queue_s : float
            Of all requests since the beginning.
        executions : int
            Likewise.
        """
        self._seen.append((now_s, queue_s, executions))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self._rule.window_s:
            self._seen.popleft()
        _, queue_before_s, executions_before = self._seen[0]
        executed = executions - executions_before
        return 1e3 * (queue_s - queue_before_s) / executed if executed else 0.0

    def target(self, now_s: float, servers: int, metric_ms: float) -> int:
        """Return how many servers there should be now.

        Parameters
        ----------
        now_s : float
        servers : int
            That there are, with those that start.
        metric_ms : float
        """
        rule = self._rule
        part = metric_ms / rule.threshold_ms
        needed = part if rule.metric_type == "AverageValue" else part * servers
        wanted = servers if abs(needed / servers - 1) <= _TOLERANCE else ceil(needed)
        wanted = min(max(wanted, rule.least), rule.most)
        self._wanted.append((now_s, wanted))
        longest_s = max(rule.up_stable_s, rule.down_stable_s)
        while self._wanted[0][0] < now_s - longest_s:
            self._wanted.popleft()
        least = min(number for at_s, number in self._wanted if at_s >= now_s - rule.up_stable_s)
        most = max(number for at_s, number in self._wanted if at_s >= now_s - rule.down_stable_s)
        if least > servers and now_s >= self._stepped_s[True] + rule.up_period_s:
            self._stepped_s[True] = now_s
            return min(servers + rule.up_step, least)
        if most < servers and now_s >= self._stepped_s[False] + rule.down_period_s:
            self._stepped_s[False] = now_s
            return max(servers - rule.down_step, most)
        return servers
