from __future__ import annotations

from typing import Any

import pytest

from sonic.errors import ConfigError
from sonic.study.load.settings import LoadSettings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clients": 0}, "clients is 1 or more; given 0"),
        ({"processes": 0}, "processes is 1 or more; given 0"),
        ({"rate": 0.0}, "rate is above zero, below 1e.09; given 0"),
        ({"window_s": -1.0}, "window_s is 0.01 or more, below 1e.09; given -1"),
        ({"window_s": 1e-9}, "window_s is 0.01 or more, below 1e.09; given 1e-09"),
        ({"seed": -1}, "seed is zero or more, below 1e.09; given -1"),
        ({"timeout_s": float("nan")}, "timeout_s is above zero, below 1e.09; given nan"),
        ({"think_s": -0.5}, "think_s is zero or more, below 1e.09; given -0.5"),
        ({"warmup_s": float("inf")}, "warmup_s is zero or more, below 1e.09; given inf"),
        ({"rate": 1e9}, "rate is above zero, below 1e.09; given 1e.09"),
        ({"rate": 5.0, "think_s": 0.1}, "think_s is of clients in a closed loop and rate of an open one"),
        ({"arrivals": "sometimes"}, "arrivals are poisson or constant; given sometimes"),
        ({"repeats": 5, "windows": 4}, "windows is 5 or more, as so many must agree; given 4"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LoadSettings(**given)


def test_three_windows_at_least_agree() -> None:
    assert LoadSettings(repeats=1).agreeing == 3
    assert LoadSettings(repeats=5).agreeing == 5
    assert LoadSettings(repeats=5).most_windows == 20
    assert LoadSettings(windows=7).most_windows == 7
