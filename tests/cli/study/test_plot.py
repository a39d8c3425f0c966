from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

pytest.importorskip("mplhep")
pytest.importorskip("iminuit")

from sonic.cli import app
from sonic.study.storage import read, write

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()


def test_all_that_the_records_hold(scan: Path) -> None:
    to = scan.parent / "pictures"
    result = RUN.invoke(app, ["study", "plot", str(scan), "--to", str(to)])
    assert result.exit_code == 0, result.output
    assert "left out: facile clients=99: failed, the server died" in " ".join(result.output.split())
    assert sorted(file.name for file in to.iterdir()) == [
        "facile-ratio-protocol-clients.png",
        "facile-throughput-clients.png",
    ]
    assert (to / "facile-throughput-clients.png").read_bytes().startswith(b"\x89PNG")


def test_a_page(scan: Path) -> None:
    html = scan.parent / "r.html"
    result = RUN.invoke(app, ["study", "plot", str(scan), "--html", str(html), "--where", "protocol=grpc"])
    assert result.exit_code == 0, result.output
    assert "protodune fits best" in html.read_text()


def test_files_of_one_name_are_told_apart(scan: Path) -> None:
    again = scan.parent / "again" / scan.name
    again.parent.mkdir()
    again.write_bytes(scan.read_bytes())
    options = ["--x", "clients", "--where", "protocol=grpc", "--format", "svg", "--to", str(scan.parent)]
    result = RUN.invoke(app, ["study", "plot", str(scan), str(again), *options])
    assert result.exit_code == 0, result.output
    assert str(again) in (scan.parent / "facile-throughput-clients.svg").read_text()


def test_one_picture_of_some_points(scan: Path) -> None:
    options = ["--x", "clients", "--where", "protocol=grpc", "--by", "protocol", "--format", "svg"]
    result = RUN.invoke(app, ["study", "plot", str(scan), "--to", str(scan.parent), *options])
    assert result.exit_code == 0, result.output
    assert "<svg" in (scan.parent / "facile-throughput-clients.svg").read_text()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (slice(1), "nothing is drawn: the points differ in no number, and have neither latencies"),
        (slice(14, 15), "nothing is drawn: none of 1 records was measured to its end"),
    ],
)
def test_where_nothing_can_be_drawn_it_is_an_error(scan: Path, chosen: slice, said: str) -> None:
    few = scan.parent / "few.jsonl"
    write(read(scan)[chosen], few)
    result = RUN.invoke(app, ["study", "plot", str(few), "--to", str(scan.parent / "to")])
    assert result.exit_code == 1
    assert said in str(result.exception or "") + " ".join(result.output.split())
    assert not (scan.parent / "to").exists()
    # A page has its tables, and says why there are no pictures.
    result = RUN.invoke(app, ["study", "plot", str(few), "--html", str(scan.parent / "r.html")])
    assert result.exit_code == 0, result.output
    assert said.partition(": ")[2] in (scan.parent / "r.html").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say where to: --to DIR"),
        (["--to", "."], "no record has a number for 'rows'"),
        (["--to", ".", "--format", "gif"], "png, svg, pdf, given 'gif'"),
        (["--to", ".", "--where", "protocol=smoke"], "none of 15 records has protocol=smoke"),
        (["--to", ".", "--where", "protocol"], "a condition is NAME=VALUE, given 'protocol'"),
        (["--to", ".", "--published", "dune"], "nothing published by the name 'dune'"),
        (["--to", ".", "--title", "mine"], "--spec and --title are of the page: give --html too"),
        (["--to", ".", "--spec", "mine.toml"], "--spec and --title are of the page: give --html too"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(scan: Path, options: list[str], said: str) -> None:
    if options == ["--to", "."]:
        options = ["--to", ".", "--x", "rows"]
    result = RUN.invoke(app, ["study", "plot", str(scan), *options])
    assert result.exit_code != 0
    assert said in str(result.exception or "") + " ".join(result.output.split())


def test_series_are_told_apart_only_in_one_picture(scan: Path) -> None:
    result = RUN.invoke(app, ["study", "plot", str(scan), "--to", str(scan.parent), "--by", "protocol"])
    assert result.exit_code != 0
    assert "say --x too" in str(result.exception or "") + " ".join(result.output.split())


def test_where_the_page_goes_is_checked_before_anything_is_drawn(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.study.plots.album.album", lambda *_: pytest.fail("drawn"))
    result = RUN.invoke(app, ["study", "plot", str(scan), "--html", str(scan.parent / "none" / "r.html")])
    assert result.exit_code == 1
    assert "r.html: there is no folder" in " ".join(result.output.split())
