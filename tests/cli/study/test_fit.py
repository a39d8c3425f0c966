from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

pytest.importorskip("mplhep")
pytest.importorskip("iminuit")

from sonic.cli import app
from sonic.study.storage import read, write

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()


def test_models_are_compared_series_by_series(scan: Path) -> None:
    picture = scan.parent / "fits.png"
    models = ["--model", "protodune", "--model", "amdahl"]
    result = RUN.invoke(app, ["study", "fit", str(scan), "--plot", str(picture), *models])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert said.count("protodune fits best") == 2
    assert "at 12" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_jobs_are_called_jobs(scan: Path) -> None:
    records = [
        replace(each, settings={"jobs": each.settings["clients"]})
        for each in read(scan)
        if each.settings["clients"] != 99
    ]
    write(records[:7], scan.parent / "jobs.jsonl")
    result = RUN.invoke(app, ["study", "fit", str(scan.parent / "jobs.jsonl"), "--model", "protodune"])
    assert result.exit_code == 0, result.output
    assert " jobs by the points, " in " ".join(result.output.split())


def test_json_is_all_that_is_printed(scan: Path) -> None:
    options = ["--where", "protocol=http", "--model", "protodune", "--json"]
    result = RUN.invoke(app, ["study", "fit", str(scan), *options])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    (fit,) = found["fits"]
    assert fit["parameters"]["service_s"]["value"] == pytest.approx(1 / 800, rel=1e-3)
    assert fit["knee"]["value"] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "usll"], "no model 'usll': there are protodune, amdahl"),
        (["--y", "p99_ms"], "--y is throughput or row_rate, given 'p99_ms'"),
        (["--where", "clients=1"], "no fit: protodune, amdahl, mva: 2 parameters need more points"),
        (["--where", "protocol=grpc", "--plot", "fits.gif"], "fits.gif ends in none of .png, .svg, .pdf"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(scan: Path, options: list[str], said: str) -> None:
    result = RUN.invoke(app, ["study", "fit", str(scan), *options])
    assert result.exit_code != 0
    assert said in str(result.exception or "") + " ".join(result.output.split())


@pytest.mark.parametrize(
    ("file", "said"), [("fits.gif", "ends in none of"), ("none/fits.png", "no folder"), ("d.png", "it is a folder")]
)
def test_where_to_draw_is_checked_before_anything_is_fitted(
    scan: Path, file: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scan.parent / "d.png").mkdir()
    monkeypatch.setattr("sonic.study.models.compare.compare", lambda *_: pytest.fail("fitted"))
    result = RUN.invoke(app, ["study", "fit", str(scan), "--plot", str(scan.parent / file)])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
