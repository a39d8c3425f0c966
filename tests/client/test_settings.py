from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from sonic.client.model import Client, Model
from sonic.client.settings import ClientSettings, load
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_built_in() -> None:
    assert load(environment={"HOME": "/"}) == ClientSettings()


def test_from_the_environment() -> None:
    settings = load(
        environment={
            "SONIC_CLIENT_CHAIN": "same, fallback",
            "SONIC_CLIENT_TRIES": "none",
            "SONIC_CLIENT_BACKOFF_S": "2",
            "SONIC_CLIENT_ATTEMPT_TIMEOUT_S": "1.5",
            "SONIC_CLIENT_SHARED_MEMORY": "never",
            "SONIC_CLIENT_SHARED_MEMORY_MIN_BYTES": "2000",
        }
    )
    assert settings == ClientSettings(
        chain=("same", "fallback"),
        backoff_s=2.0,
        attempt_timeout_s=1.5,
        shared_memory="never",
        shared_memory_min_bytes=2000,
    )


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    path.write_text('[sonic]\nchain = ["different", "same"]\ntries = 4\njitter = 0\n[other]\nx = 1\n')
    environment = {"SONIC_CLIENT_CONFIG": str(path), "SONIC_CLIENT_TRIES": "7"}
    assert load(environment=environment) == ClientSettings(chain=("different", "same"), tries=7, jitter=0.0)
    assert load(path, {}).tries == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tries = 1", r"settings .*\.toml have no table \[sonic\]"),
        ("[sonic]\ntrys = 1", "no setting 'trys', expected one of chain, tries, .*"),
        ('[sonic]\nbackoff_s = "long"', r"backoff_s in .*\.toml: Expected `float`.*, given 'long'"),
        (
            '[sonic]\nchain = ["elsewhere"]',
            "chain in .*'elsewhere'.*, expected one of different, same, again, fallback, given",
        ),
        ("[sonic]\njitter = 2", "jitter is 0 to 1; given 2.0"),
        ("[sonic", r"settings .*\.toml are not TOML: .*"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "client.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(path, {})
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read settings .*: No such file"):
        load(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("TRIES", "many", "SONIC_CLIENT_TRIES: Expected `int | null`.*, given 'many'"),
        ("TRIES", "0", "tries is at least 1, or None; given 0"),
        (
            "SHARED_MEMORY",
            "maybe",
            "SONIC_CLIENT_SHARED_MEMORY: .*, expected one of auto, never, always, given 'maybe'",
        ),
        ("TRYS", "1", "SONIC_CLIENT_TRYS: no setting 'trys', expected .*"),
    ],
)
def test_an_environment_that_makes_no_sense(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace("|", r"\|")):
        load(environment={f"SONIC_CLIENT_{name}": value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"chain": ("elsewhere",)},
        {"chain": "different"},
        {"servers": "grpc://gpu01:8001"},
        {"preferred": "grpc://gpu01:8001"},
        {"backoff_s": -1.0},
        {"backoff_factor": 0.5},
        {"max_backoff_s": -1.0},
        {"attempt_timeout_s": 0.0},
        {"attempt_timeout_s": float("inf")},
        {"silence_s": 0.0},
        {"silence_s": float("inf")},
        {"rest_s": -1.0},
        {"breaker_failures": 0},
        {"hedge_quantile": 0.0},
        {"hedge_budget": 1.1},
        {"shared_memory": "sometimes"},
        {"shared_memory_min_bytes": 0},
        {"shared_memory_max_bytes": 0},
        {"breaker_max_rest_s": -1.0},
    ],
)
def test_values_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ClientSettings(**wrong)  # type: ignore[arg-type]


def test_they_are_values_whatever_their_sequences_are_given_as() -> None:
    lists = ClientSettings(chain=["same"], servers=["grpc://a:1"], preferred=["grpc://a:1"])  # type: ignore[arg-type]
    assert lists == ClientSettings(chain=("same",), servers=("grpc://a:1",), preferred=("grpc://a:1",))
    with Model("grpc://a:1/m", settings=lists) as model, pickle.loads(pickle.dumps(model)) as copy:
        assert copy._client.settings == lists


def test_a_client_takes_them_where_it_is_made_and_along_to_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client.toml"
    path.write_text("[sonic]\ntries = 4\n")
    monkeypatch.setenv("SONIC_CLIENT_SILENCE_S", "3")
    with Model("grpc://localhost:1/m", settings=path) as model:
        expected = ClientSettings(tries=4, silence_s=3.0)
        monkeypatch.delenv("SONIC_CLIENT_SILENCE_S")
        with pickle.loads(pickle.dumps(model)) as copy:
            assert copy._client.settings == expected
    with Client(["grpc://localhost:1"], settings=ClientSettings(tries=2)) as client:
        assert client.settings.tries == 2


def test_the_balancer_that_a_site_announces_is_the_first_server(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"SONIC_CLIENT_SERVERS": "http://far, grpc://near:1", "SONIC_LOCAL_BALANCER_HOST": "balancer"}
    assert load(environment=environment).servers == ("grpc://balancer:8001", "http://far", "grpc://near:1")
    environment["SONIC_LOCAL_BALANCER_PORT"] = "9"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Client() as client:
        assert [state.server for state in client.servers()] == ["grpc://balancer:9", "http://far:8000", "grpc://near:1"]
    with Client(["grpc://given:1"]) as client:
        assert [state.server for state in client.servers()] == ["grpc://given:1"]
