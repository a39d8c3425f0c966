from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.server.tritonserver.reading import read


def test_values_by_flag_in_their_order() -> None:
    values, warnings = read(["--model-store", "b", "--model-repository=a", "--allow-http=off", "--http-port", "7"])
    assert values == {"model-repository": ["b", "a"], "allow-http": [False], "http-port": [7]}
    assert warnings == []


def test_a_value_may_hold_anything() -> None:
    assert read(["--cache-config=local,size=7", "--id=", "--id", "--x"])[0] == {
        "cache-config": ["local,size=7"],
        "id": ["", "--x"],
    }


@pytest.mark.parametrize(
    ("written", "name"), [("exit-t", "exit-timeout-secs"), ("log-verb", "log-verbose"), ("log-verbose", "log-verbose")]
)
def test_a_flag_may_be_shortened_while_it_is_unique(written: str, name: str) -> None:
    assert read([f"--{written}=1"]) == ({name: [1]}, [])
    assert read(["--log-=1"])[0] == {}


@pytest.mark.parametrize(("value", "level"), [("true", 1), ("False", 0), ("2", 2)])
def test_how_verbose_a_log_is_may_be_true_or_false(value: str, level: int) -> None:
    assert read([f"--log-verbose={value}"])[0] == {"log-verbose": [level]}
    with pytest.raises(ConfigError, match="--http-port expects a whole number, given 'true'"):
        read(["--http-port=true"])


def test_what_is_ignored_takes_its_value_along() -> None:
    values, warnings = read(["--host-policy", "gpu_0,numa-node=0", "--nope", "--id=x"])
    assert values == {"id": ["x"]}
    assert warnings == [
        "--host-policy is ignored: it has no effect here",
        "--nope is ignored: no such flag is known",
    ]


def test_what_may_not_be_ignored() -> None:
    with pytest.raises(ConfigError, match="--http-restricted-api is not offered, and ignoring it would leave"):
        read(["--http-restricted-api=health:key=value"])
    assert read(["--http-restricted-api="]) == ({}, [])
