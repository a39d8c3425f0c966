from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError, DataError, OutputError
from sonic.study.records import Estimate, Latencies, Machine, Record, ServerWindow, Window
from sonic.study.storage import append, read, ready, write

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine(system="Linux", processor="x", cores=2)
SERVER = ServerWindow(requests=9, failures=0, executions=3, rows=9, queue_s=0.1, input_s=0.0, infer_s=0.2, output_s=0.0)
FULL = Record(
    target="facile-v2",
    settings={"clients": 4, "protocol": "grpc", "rate": 2.5, "compression": False},
    status="measured",
    started="2026-01-01T00:00:00Z",
    machine=MACHINE,
    versions={"sonic": "1"},
    throughput=Estimate(9.0, 8.0, 10.0),
    row_rate=Estimate(9.0),
    latencies=Latencies(count=9, mean_s=0.1, least_s=0.05, most_s=0.2, edges_s=(0.05, 0.1, 0.2), counts=(4, 5)),
    windows=(Window(duration_s=1.0, requests=9, errors=0, rows=9, server=SERVER),),
    details={"a": 1.0},
)
FAILED = Record(
    target="x",
    settings={"clients": 1, "rate": "none"},
    status="failed",
    reason="it died",
    started="2026-01-01T00:00:01Z",
    machine=MACHINE,
    versions={},
)


@pytest.mark.parametrize("name", ["points.jsonl", "points.json", "points.parquet"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write([FULL, FAILED], tmp_path / name)
    assert read(tmp_path / name) == [FULL, FAILED]
    write([], tmp_path / name)
    assert read(tmp_path / name) == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_parquet_has_flat_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write([FULL, FAILED], tmp_path / "points.parquet")
    table = parquet.read_table(tmp_path / "points.parquet").to_pydict()
    assert table["throughput"] == [9.0, None]
    assert table["settings.clients"] == [4, 1]
    assert table["settings.rate"] == ["2.5", "none"]
    assert table["reason"] == ["", "it died"]
    assert (table["machine.cores"], table["machine.gpus"]) == ([2, 2], ["", ""])


def test_adding_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    append(FULL, path)
    append(FAILED, path)
    assert read(path) == [FULL, FAILED]


@pytest.mark.parametrize("torn", [b'{"sonic_study":"po', b"x" * 100_000])
def test_a_line_that_was_cut_short_is_left_out_and_written_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "points.jsonl"
    append(FULL, path)
    with path.open("ab") as file:
        file.write(torn)
    assert read(path) == [FULL]
    append(FAILED, path)
    assert read(path) == [FULL, FAILED]


def test_a_last_line_without_its_newline_stays_as_an_editor_left_it(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    append(FULL, path)
    path.write_bytes(b"\n" + path.read_bytes().rstrip())
    assert read(path) == [FULL]
    path.write_bytes(path.read_bytes().strip())
    append(FAILED, path)
    assert read(path) == [FULL, FAILED]


@pytest.mark.parametrize("text", ["a list of things", "a list\nof things\n"])
def test_a_file_of_something_else_is_not_added_to(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    for refused in (lambda: append(FULL, path), lambda: ready(path, adding=True)):
        with pytest.raises(OutputError, match=r"cannot add to .*notes.txt: it holds no records"):
            refused()
    with pytest.raises(DataError, match="line 1 is not a record"):
        read(path)
    assert path.read_text() == text


def test_whether_a_file_can_be_written_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(tmp_path / "points.jsonl", adding=True)
    ready(tmp_path / "points.jsonl")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"cannot write .*: there is no folder .*none"):
        ready(tmp_path / "none" / "points.jsonl")
    with pytest.raises(ConfigError, match="Parquet is written at once"):
        ready(tmp_path / "points.parquet", adding=True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="Parquet needs pyarrow"):
        ready(tmp_path / "points.parquet")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    with pytest.raises(DataError, match=r"cannot read .*points.jsonl: No such file"):
        read(path)
    append(FULL, path)
    with path.open("ab") as file:
        file.write(b'{"sonic_study": "point"}\n')
    with pytest.raises(DataError, match=r"points.jsonl, line 2 is not a record of a study: .*`target`"):
        read(path)
    with pytest.raises(DataError, match=r"cannot read .*none.parquet: No such file or directory"):
        read(tmp_path / "none.parquet")
    (tmp_path / "no.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match=r"no.parquet holds no records"):
        read(tmp_path / "no.parquet")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*none/points.jsonl: No such file"):
        write([FULL], tmp_path / "none" / "points.jsonl")
    with pytest.raises(OutputError, match=r"cannot write .*none/points.jsonl: No such file"):
        append(FULL, tmp_path / "none" / "points.jsonl")
    with pytest.raises(ConfigError, match="Parquet is written at once"):
        append(FULL, tmp_path / "points.parquet")
