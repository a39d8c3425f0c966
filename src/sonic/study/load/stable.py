"""Whether windows agree, and what is said of repeats: mean and interval. Pure."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, linear_regression, stdev
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.study.records import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.study.load.tally import Tally

COVERAGE = 0.95
_ERRORS = 2.0
"""So many standard errors are chance."""


def check_installed() -> None:
    """See that :func:`estimate` has what it needs, before an hour is spent on what it is given.

    Raises
    ------
    ConfigError
        If SciPy is not installed.
    """
    student(1)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of repeats and the interval that covers it with 95 %, by Student's t.

    Parameters
    ----------
    values : sequence of float
        One at least; of one alone there is no interval.

    Raises
    ------
    ConfigError
        If SciPy is not installed.
    """
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean)
    half = student(len(values) - 1) * stdev(values) / sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def student(freedom: float) -> float:
    """Return how many standard errors the interval of :func:`estimate` reaches to each side.

    Parameters
    ----------
    freedom : float
        Degrees of it: repeats less one.

    Raises
    ------
    ConfigError
        If SciPy is not installed.
    """
    try:
        from scipy.special import stdtrit
    except ImportError as error:
        raise ConfigError("an interval over repeats needs SciPy: pip install 'sonic-hep[study]'") from error
    return float(stdtrit(freedom, (1 + COVERAGE) / 2))


def disagreement(windows: Sequence[Tally], tolerance: float, *, random: bool = False) -> str:
    """Say how windows differ; empty if they agree.

    Their numbers of requests, and their mean latencies, are to lie within a part of their mean, beside what chance
    does: a request that just missed a window's end, the scatter of a mean over few requests, and the number of
    arrivals where these are random.

    Parameters
    ----------
    windows : sequence of Tally
        One after the other.
    tolerance : float
        That part.
    random : bool
        Whether arrivals are.
    """
    counts = [float(window.requests) for window in windows]
    expected = fmean(counts)
    if not expected:
        return f"no request ended in {sum(window.duration_s for window in windows):.3g} s"
    chance = [_ERRORS * sqrt(expected) if random else 1.0] * len(windows)
    if said := _differ("throughput", counts, chance, tolerance):
        return said
    latencies = [window.latencies.mean_s for window in windows]
    return _differ("latency", latencies, [_ERRORS * window.latencies.error_s for window in windows], tolerance)


def growth(windows: Sequence[Tally], since_s: float) -> str:
    """Say that latency grows as that of an open loop does beyond the server's capacity; empty if it does not.

    There it is in proportion to the time since the load began, and so grows from window to window by a part of its mean
    that is the smaller the longer one looks: at last by less than any tolerance.

    Parameters
    ----------
    windows : sequence of Tally
        One after the other, two or more.
    since_s : float
        From the beginning of the load to the first, in seconds.
    """
    times_s, ends_s = [], since_s
    for window in windows:
        times_s.append(ends_s + window.duration_s / 2)
        ends_s += window.duration_s
    middle_s = fmean(times_s)
    latencies = [window.latencies for window in windows]
    slope = linear_regression(times_s, [each.mean_s for each in latencies]).slope
    offsets_s = [time_s - middle_s for time_s in times_s]
    scatter = sqrt(sum((each.error_s * off_s) ** 2 for each, off_s in zip(latencies, offsets_s, strict=True)))
    chance = _ERRORS * scatter / sum(off_s**2 for off_s in offsets_s)
    if slope <= chance or slope * middle_s <= fmean(each.mean_s for each in latencies) / 2:
        return ""
    return f"latency grows by {slope:.2g} s in a second: more requests are due than are answered"


def _differ(what: str, values: Sequence[float], chance: Sequence[float], tolerance: float) -> str:
    mean = fmean(values)
    if not mean:  # of a job there is no latency
        return ""
    beyond = max(abs(value - mean) - by_chance for value, by_chance in zip(values, chance, strict=True)) / mean
    if beyond <= tolerance:
        return ""
    off = f"{beyond:.1%}" if beyond < 2 * tolerance else f"{beyond:.0%}"  # which is not to read as what is expected
    return f"{what} of {len(values)} windows is up to {off} off their mean, expected {tolerance:.0%} at most"
