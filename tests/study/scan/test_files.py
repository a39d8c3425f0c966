from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.study.scan.files import read, ready
from sonic.study.scan.models import build
from sonic.study.scan.plan import estimated_s, plan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ready())
def test_what_comes_with_sonic_can_be_run_and_takes_minutes(name: str, tmp_path: Path) -> None:
    spec, _ = read(name)
    assert spec.about
    assert "clients" in spec.varied
    assert spec.rounds % 2 == 0  # there and back as often, so that drift cancels
    assert estimated_s([visit.point for visit in plan(spec, [], {}).visits], spec) < 400
    for number, point in enumerate(spec.points):
        if point.settings["clients"] == 1:
            (tmp_path / str(number)).mkdir()
            assert build(tmp_path / str(number), point.target, point.settings, tmp_path)


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facile").write_text('target = "m"')
    assert read("facile")[0].targets == ("m",)
    (tmp_path / "facile").unlink()
    assert read("facile")[0].targets == ("facile-v2",)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot read nosuch: No such file .* the scans distance, emtrackmichel, facile"
    ):
        read("nosuch")
    (tmp_path / "latin.toml").write_bytes(b"about = '\xe9'")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read(str(tmp_path / "latin.toml"))
    (tmp_path / "wrong.toml").write_text("target = 3")
    with pytest.raises(ConfigError, match=r"wrong.toml: target is the name"):
        read(str(tmp_path / "wrong.toml"))
