from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import ConfigError
from sonic.framework.options import options, settings

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.workloads.training.loop import Progress


def generate(
    file: Path,
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    particles: int = 20,
    noise: float = 0.5,
    process: str = "tt",
    displaced_tracks: bool = False,
) -> int:
    return events


def test_options_are_the_keyword_arguments():
    listed = [(option.name, option.kind, option.default) for option in options(generate)]
    assert listed == [
        ("particles", int, 20),
        ("noise", float, 0.5),
        ("process", str, "tt"),
        ("displaced_tracks", bool, False),
    ]


def test_values_are_converted_by_their_annotations():
    given = ["particles=3", " noise = 1e-2", "displaced-tracks=Yes", "process=a=b"]
    chosen = settings(generate, given)
    assert chosen == {"particles": 3, "noise": 0.01, "displaced_tracks": True, "process": "a=b"}
    assert chosen["displaced_tracks"] is True
    assert settings(generate, []) == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            ["particle=3"],
            "no option 'particle'; similar: particles: there are particles=20, noise=0.5, process=tt, disp",
        ),
        (["particles"], "expected key=value, got 'particles'"),
        (["particles=3.5"], "option particles: expected a whole number, got '3.5'"),
        (["noise=much"], "option noise: expected a number, got 'much'"),
        (["displaced_tracks=perhaps"], "option displaced_tracks: expected true or false, got 'perhaps'"),
        (["noise=1", "noise=2"], "option noise is given twice"),
    ],
)
def test_what_makes_no_sense(given: list[str], says: str):
    with pytest.raises(ConfigError) as error:
        settings(generate, given)
    assert str(error.value).startswith(says)


def test_a_generator_whose_options_nobody_can_write():
    def odd(file: Path, events: int, seed: int, progress: Any = None, *, sizes: list[int]) -> int:
        return 0

    with pytest.raises(ConfigError, match="odd: sizes must be annotated int, float, str or bool, and have a default"):
        options(odd)
