"""What a load is: how many clients or requests a second, of what size, and for how long it is measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast, get_args

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Arrivals = Literal["poisson", "constant"]


def arrivals_of(text: str) -> Arrivals:
    """Read how requests follow each other.

    Raises
    ------
    ConfigError
        If it is none of the ways.
    """
    for known in get_args(Arrivals):
        if text == known:
            return cast("Arrivals", text)
    raise ConfigError(f"arrivals are {' or '.join(get_args(Arrivals))}; given {text}")


_LEAST_WINDOW_S = 0.01
"""The processes of the load report each window, and looking at the server takes milliseconds."""
_MOST = 1e9


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """A load.

    Parameters
    ----------
    clients : int
        Of a closed loop: each sends its next request when the last is answered. Of a workflow: jobs, a process each.
    think_s : float
        Between an answer and a client's next request, in seconds.
    rate : float or None
        Requests a second, whether the others are answered or not: an open loop, and `clients` does not count.
    arrivals : {"poisson", "constant"}
        How the requests of an open loop follow each other.
    rows : int
        Of a request to a model that batches.
    shapes : mapping of str to tuple of int
        Of inputs, the first dimension of a batch included, where the model leaves a dimension open.
    processes : int or None
        Of the load generator; None: half of the cores, and no more than clients.
    shared_memory : bool
        Whether large tensors go through shared memory to a server on this host.
    warmup_s : float
        That is not measured, in seconds.
    window_s : float
        Of one repeat, in seconds.
    repeats : int
        Windows that are measured.
    windows : int or None
        After so many without stability the point is unstable; None: four times as many as must agree.
    tolerance : float
        By how much of their mean windows may differ.
    timeout_s : float
        After which a request has failed, in seconds.
    seed : int
        Of arrivals and random inputs.

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """

    clients: int = 1
    think_s: float = 0.0
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    rows: int = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    processes: int | None = None
    shared_memory: bool = False
    warmup_s: float = 1.0
    window_s: float = 2.0
    repeats: int = 3
    windows: int | None = None
    tolerance: float = 0.1
    timeout_s: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("clients", "rows", "processes", "repeats", "windows"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ConfigError(f"{name} is 1 or more; given {given}")
        if not _LEAST_WINDOW_S <= self.window_s < _MOST:
            raise ConfigError(f"window_s is {_LEAST_WINDOW_S} or more, below {_MOST:g}; given {self.window_s:g}")
        for name in ("rate", "tolerance", "timeout_s"):
            given = getattr(self, name)
            if given is not None and not 0 < given < _MOST:
                raise ConfigError(f"{name} is above zero, below {_MOST:g}; given {given:g}")
        for name in ("think_s", "warmup_s", "seed"):
            if not 0 <= getattr(self, name) < _MOST:
                raise ConfigError(f"{name} is zero or more, below {_MOST:g}; given {getattr(self, name):g}")
        if self.rate is not None and self.think_s:
            raise ConfigError("think_s is of clients in a closed loop and rate of an open one: set one of them")
        arrivals_of(self.arrivals)
        if self.windows is not None and self.windows < self.agreeing:
            raise ConfigError(f"windows is {self.agreeing} or more, as so many must agree; given {self.windows}")

    @property
    def agreeing(self) -> int:
        """Windows in a row that must agree: the repeats, and no fewer than three."""
        return max(self.repeats, 3)

    @property
    def most_windows(self) -> int:
        """After which it is given up."""
        return self.windows or 4 * self.agreeing
