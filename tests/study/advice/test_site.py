"""A site's file says prices, and nothing that makes no sense."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.study.advice.site import Kind, Site, kind_of, of_machines, read
from sonic.study.records import Machine, Record

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("core_hour = 0.1\n[servers.T4]\nhour = 0.5\nrows_per_s = {tagger = 10}\n")
    assert read(path) == Site(core_hour=0.1, servers={"T4": Kind(hour=0.5, rows_per_s={"tagger": 10.0})})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("core_hour = 'much'", "core_hour"),
        ("price = 1", "price"),
        ("[servers.a]\n", "hour"),
        ("[servers.a]\nhour = -1", "hour is 0 or more"),
        ("use = 0", "site.toml: use is above 0"),
        ("core_hour = inf", "core_hour is 0 or more, given inf"),
        ("[servers.a]\nhour = nan", "hour is 0 or more"),
        ("[servers.a]\nhour = 1\nrows_per_s = {m = nan}", "rates above 0"),
        ("spare = -1", "spare is 0 or more"),
        ("= 1", "describes no site"),
        (None, "cannot read"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "site.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read(path)


def record(**settings: str | bool) -> Record:
    machine = Machine(system="", processor="P", cores=2)
    return Record(target="m", settings={**settings}, status="measured", started="", machine=machine, versions={})


@pytest.mark.parametrize(
    "settings",
    [{}, {"server": "grpc://localhost:8001"}, {"server": "http://[::1]:8000"}, {"server": "grpc+unix:/run/a.sock"}],
)
def test_a_server_here_is_this_machine(settings: dict[str, str]) -> None:
    assert of_machines([record(**settings)], Site(core_hour=0.5)).servers == {"2 cores of P": Kind(hour=1.0)}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"server": "grpc://gpu01:8001"}, "was measured on grpc://gpu01:8001? name it by server_kind in the scan's"),
        ({"simulated": True}, "was simulated? name it by server_kind in the simulation's spec"),
    ],
)
def test_a_server_elsewhere_is_not_this_machine(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        of_machines([record(**settings)])
    with pytest.raises(ConfigError, match="what does an hour of 'T4' cost"):
        of_machines([record(**settings, server_kind="T4")])
    assert kind_of(record(**settings, server_kind="T4")) == "T4"


def test_what_a_gpu_costs_has_to_be_said() -> None:
    machine = Machine(system="", processor="P", cores=1, gpus=("T4",))
    record = Record(target="m", settings={}, status="measured", started="", machine=machine, versions={})
    with pytest.raises(ConfigError, match="what does an hour of 'T4' cost"):
        of_machines([record])
