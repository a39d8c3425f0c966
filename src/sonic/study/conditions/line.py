"""When a byte that is sent over a line arrives: delay, jitter, bandwidth, loss. Pure: time is an argument.

A line is one direction. Its bandwidth is shared by all flows on it, first come first served; order is kept within a
flow, as TCP keeps it, and not between flows.

Loss is never seen by who uses TCP, only waited for, and so it is drawn as what one waits. Of what is sent, each
segment of 1,448 bytes is lost with the given probability, and so are its repetitions. A segment that three others
follow is missed by the receiver and repeated after one round trip (fast retransmit, RFC 5681), however many are missed
at once (selective acknowledgement, RFC 2018); the last three are repeated by the sender's clock, after the round trip
and 0.2 s, twice as long each time (RFC 6298, with Linux's least variance). All that comes later in the flow waits
meanwhile. Repetitions take their part of the bandwidth. That a sender slows down after losses is not in this model:
real long transfers over lossy lines are slower still.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, expm1, inf, isfinite, log
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from random import Random

SEGMENT_BYTES = 1448
"""What a TCP segment carries over Ethernet, with time stamps."""

LEAST_TIMEOUT_S = 0.2
FOLLOWERS = 3
"""Segments by which a receiver notices that one before them is lost."""
_MOST_LOSS = 0.5


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of a network between clients and a server, the same both ways.

    Parameters
    ----------
    round_trip_ms : float
        Delay of the two directions together, besides what the real way between the two ends takes.
    jitter_ms : float
        The delay of a direction varies by as much, up and down, evenly distributed; at most half the round trip.
    bandwidth_mbps : float
        Millions of bits a second, in each direction, of all connections together; 0 is without limit.
    loss : float
        Part of the segments that is lost, in each direction: from 0 to 0.5.

    Raises
    ------
    ConfigError
        If a number makes no sense.
    """

    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbps: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        for name in ("round_trip_ms", "jitter_ms", "bandwidth_mbps", "loss"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be 0 or more, given {value}")
        if self.jitter_ms > self.round_trip_ms / 2:
            raise ConfigError(
                f"jitter_ms must be at most half of round_trip_ms, {self.round_trip_ms / 2:g}, given {self.jitter_ms:g}"
            )
        if self.loss > _MOST_LOSS:
            raise ConfigError(f"loss must be at most {_MOST_LOSS:g}, given {self.loss:g}")

    @property
    def plain(self) -> bool:
        """Whether it is as if there was no network."""
        return not (self.round_trip_ms or self.jitter_ms or self.bandwidth_mbps or self.loss)

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth of a direction; infinite without limit."""
        return self.bandwidth_mbps * 1e6 / 8 or inf


class Line:
    """One direction of a network.

    Parameters
    ----------
    conditions : Conditions
    random : Random
        What jitter and loss are drawn from.
    """

    def __init__(self, conditions: Conditions, random: Random) -> None:
        self._conditions = conditions
        self._random = random
        # Repetitions, and repetitions of those, come on top of each byte.
        self._s_per_byte = 1 / conditions.bytes_per_s / (1 - conditions.loss)
        self._free_s = -inf

    @property
    def free_s(self) -> float:
        """When the line has taken all that was sent so far."""
        return self._free_s

    def takes_s(self, n_bytes: int) -> float:
        """Return how long the line is taken by so many bytes."""
        return n_bytes * self._s_per_byte

    def flow(self) -> Flow:
        """Return a connection's way over this line."""
        return Flow(self)

    def wait_s(self, losses: int, *, followed: bool = False) -> float:
        """Return what the last segments wait that were lost so often: for the sender's clock, unless others follow."""
        round_trip_s = self._conditions.round_trip_ms / 1e3
        return losses * round_trip_s if followed else (2.0**losses - 1) * (round_trip_s + LEAST_TIMEOUT_S)

    def _send(self, now_s: float, n_bytes: int) -> tuple[float, int]:
        """Put bytes on the line.

        Return when the last of them arrives, if they need not wait for others of the flow and are not lost, and how
        often the unluckiest of the last segments is.
        """
        conditions = self._conditions
        self._free_s = max(now_s, self._free_s) + self.takes_s(n_bytes)
        arrives_s = self._free_s + conditions.round_trip_ms / 2e3
        if conditions.jitter_ms:
            arrives_s += self._random.uniform(-1, 1) * conditions.jitter_ms / 1e3
        if not conditions.loss:
            return arrives_s, 0
        tail = self._most_losses(min(segments_of(n_bytes), FOLLOWERS))
        body = self._most_losses(max(0, segments_of(n_bytes) - FOLLOWERS))
        return arrives_s + self.wait_s(body, followed=True), tail

    def _most_losses(self, segments: int) -> int:
        """Draw how often the unluckiest of some segments is lost: its distribution is (1 - loss^(k+1))^segments."""
        if not segments:
            return 0
        drawn = 1 - self._random.random()  # above 0
        lost = -expm1(log(drawn) / segments)
        return int(log(lost) / log(self._conditions.loss)) if lost > 0 else 0


def segments_of(n_bytes: int) -> int:
    """Return in how many segments so many bytes go."""
    return ceil(n_bytes / SEGMENT_BYTES)


class Flow:
    """What one connection sends over a line; made by :meth:`Line.flow`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last_s = -inf

    def send(self, now_s: float, n_bytes: int, last_s: float = -inf) -> float:
        """Send bytes at a time, not before earlier ones.

        Parameters
        ----------
        now_s : float
        n_bytes : int
        last_s : float
            When the last of them is there to be sent, should they come in more slowly than the line takes them: others'
            go in between.

        Returns
        -------
        float
            When they arrive, in the same clock: not before what this flow sent earlier.
        """
        arrives_s, losses = self.put(now_s, n_bytes, last_s)
        self._last_s = arrives_s + self._line.wait_s(losses)
        return self._last_s

    def put(self, now_s: float, n_bytes: int, last_s: float = -inf) -> tuple[float, int]:
        """Do the same with a part of what is sent, which others may follow; see :meth:`send` and its parameters.

        Returns
        -------
        arrives_s : float
            When it arrives if its last segments are not lost.
        losses : int
            How often the unluckiest of these is. What they then wait, :meth:`Line.wait_s`, is for whoever sees what
            follows.
        """
        arrives_s, losses = self._line._send(now_s, n_bytes)
        self._last_s = max(self._last_s, arrives_s + max(0.0, last_s - self._line.free_s))
        return self._last_s, losses
