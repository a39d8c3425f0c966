from __future__ import annotations

from pathlib import Path

import pytest

from sonic.errors import ConfigError
from sonic.study.scan.settings import KNOWN, checked, concerning, conditions_of, told


def test_a_value_is_of_the_setting_s_kind() -> None:
    assert checked("clients", 4, "here") == 4
    assert checked("round_trip_ms", 10, "here") == 10.0
    assert isinstance(checked("round_trip_ms", 10, "here"), float)
    assert checked("batching", False, "here") is False
    assert checked("preferred", "100, 200", "here") == "100, 200"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("clients", 4.0, "clients is a whole number, given 4.0"),
        ("clients", True, "clients is a whole number, given True"),
        ("clients", 0, "clients must be 1 or more, given 0"),
        ("batching", 1, "batching is true or false, given 1"),
        ("rate", float("nan"), "rate must be 0.001 or more, given nan"),
        ("protocol", "grcp", "protocol is one of grpc, http, grpc[+]unix, http[+]unix, local, given 'grcp'"),
        ("preferred", "100,0", "preferred is numbers of rows, as '200' or '100,200', given '100,0'"),
        ("models", [1], r"models is a text, given \[1\]"),
    ],
)
def test_a_value_that_makes_no_sense(name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^here: {says}"):
        checked(name, value, "here")


def test_defaults_are_of_their_kind() -> None:
    for name, known in KNOWN.items():
        if known.default is not None:
            assert checked(name, known.default, "here") == known.default


def test_a_default_says_nothing() -> None:
    assert told({"clients": 1, "protocol": "http", "rows": 1, "shared_memory": False, "unheard_of": 3}) == {
        "protocol": "http"
    }


def test_what_a_setting_concerns() -> None:
    settings = {"clients": 1, "instances": 2, "loss": 0.1, "compression": "gzip", "unheard_of": 1}
    assert concerning(settings, "network") == {"loss": 0.1}
    assert concerning(settings, "client", "server") == {"instances": 2, "compression": "gzip"}


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "study.md").read_text()
    assert [name for name in KNOWN if f"`{name}`" not in page] == []


def test_a_network_of_settings() -> None:
    made = conditions_of({"round_trip_ms": 10, "bandwidth_mbps": 100.0, "clients": 4})
    assert (made.round_trip_ms, made.bandwidth_mbps, made.loss) == (10.0, 100.0, 0.0)
