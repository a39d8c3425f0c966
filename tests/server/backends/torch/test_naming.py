from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.server.backends.torch.naming import arguments_of, positions_of

FORWARD = ("points", "features", "mask")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["points", "features", "mask"], ["points", "features", "mask"]),
        (["mask", "points", "features"], ["points", "features", "mask"]),
        (["INPUT__0", "INPUT__1", "INPUT__2"], ["INPUT__0", "INPUT__1", "INPUT__2"]),
        (["c__2", "a__0", "b__1"], ["a__0", "b__1", "c__2"]),
        (["x", "y", "z"], ["x", "y", "z"]),
        (["points", "features"], ["points", "features"]),
        (["INPUT__1", "INPUT__0"], ["INPUT__0", "INPUT__1"]),
        (["other", "INPUT__1"], ["other", "INPUT__1"]),
        (["points", "other", "INPUT__1"], ["points", "other", "INPUT__1"]),
    ],
)
def test_inputs_are_arguments(names: list[str], expected: list[str]) -> None:
    assert arguments_of(names, FORWARD, FORWARD[:2]) == dict(zip(FORWARD, expected, strict=False))


def test_an_argument_may_look_like_a_number() -> None:
    assert arguments_of(["x__1", "x__0"], ["x__1", "x__0"], ["x__1"]) == {"x__1": "x__1", "x__0": "x__0"}


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["INPUT__0", "INPUT__1", "INPUT__3"], "'INPUT__3' counts past the arguments"),
        (["A__0", "B__0", "C__1"], "'A__0' and 'B__0' are the same argument"),
        (["points", "mask"], "no input is for argument 'features' of forward"),
        (["a", "b", "c", "d"], "there are 4 inputs, and forward has the arguments points"),
        (["a"], "no input is for argument 'features'"),
    ],
)
def test_inputs_that_are_no_arguments(names: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        arguments_of(names, FORWARD, FORWARD)


def test_outputs_are_results() -> None:
    assert positions_of(["OUTPUT__1", "OUTPUT__0"]) == {"OUTPUT__1": 1, "OUTPUT__0": 0}
    assert positions_of(["softmax", "OUTPUT__7"]) == {"softmax": 0, "OUTPUT__7": 1}
    assert positions_of(["__3"]) == {"__3": 0}
    with pytest.raises(ConfigError, match="two of them have the same number"):
        positions_of(["a__0", "b__0"])
