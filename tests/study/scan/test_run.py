from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sonic.errors import ConfigError, SonicError, Unavailable
from sonic.study import storage
from sonic.study.records import Estimate, Machine, Record
from sonic.study.scan.deployment import Place
from sonic.study.scan.run import prepare, scan
from sonic.study.scan.spec import parse, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.study.scan.run import Standing, Summary
    from sonic.study.scan.spec import Point, Spec

SPEC = parse('target = "m"\n[grid]\ninstances = [1, 2]\nclients = [1, 2, 4]')


class Servers:
    """Notes which were started; can have one fail to start, or die."""

    def __init__(self) -> None:
        self.started: list[object] = []
        self.up = 0
        self.obituary = ""
        self.refuses: Callable[[Point], bool] = lambda _: False

    def __call__(self, point: Point) -> _Server:
        return _Server(self, point)


class _Server:
    def __init__(self, servers: Servers, point: Point) -> None:
        self._servers, self._point = servers, point

    def __enter__(self) -> Self:
        if self._servers.refuses(self._point):
            raise Unavailable("sonic serve ended with status 1 before it was ready: no such device")
        self._servers.started.append(dict(server_of(self._point)[1]).get("instances"))  # type: ignore[index]
        self._servers.up += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.up -= 1

    @contextmanager
    def place(self, point: Point) -> Iterator[Place]:
        yield Place("grpc://fake:1", names=(point.target,))

    def obituary(self) -> str:
        said, self._servers.obituary = self._servers.obituary, ""
        return said


class Load:
    """Measures as it is told: by clients and instances, a status or an error."""

    def __init__(self, **outcomes: object) -> None:
        self.outcomes = outcomes
        self.measured: list[str] = []

    def __call__(self, point: Point, spec: Spec, place: Place) -> Record:
        assert place.url == "grpc://fake:1"
        name = "i{instances}c{clients}".format(**point.settings)
        self.measured.append(name)
        outcome = self.outcomes.get(name, "measured")
        if isinstance(outcome, list):  # one a round
            outcome = outcome.pop(0)
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, BaseException):
            raise outcome
        return Record(
            target=point.target,
            settings={"clients": point.settings["clients"], "protocol": "grpc", "processes": 1},
            status=outcome,  # type: ignore[arg-type]
            reason="" if outcome == "measured" else f"{outcome} it was",
            started="2026-01-01T00:00:00Z",
            machine=Machine(system="", processor="", cores=2),
            versions={"server": "9"},
            throughput=Estimate(100.0),
        )


ALL = [f"i{instances}c{clients}" for instances in (1, 2) for clients in (1, 2, 4)]
THERE_AND_BACK = parse('target = "m"\n[grid]\ninstances = [1, 2]\nclients = [1, 2, 4]\n[measure]\nrounds = 4')


def _scan(path: Path, load: Load, servers: Servers | None = None, spec: Spec = SPEC, **options: object) -> Summary:
    servers = servers or Servers()
    try:
        return scan(spec, path, base=path.parent, measure=load, deploy=servers, **options)  # type: ignore[arg-type]
    finally:
        assert servers.up == 0


def test_every_point_is_recorded_and_servers_change_seldom(tmp_path: Path) -> None:
    servers, load = Servers(), Load()
    summary = _scan(tmp_path / "a.jsonl", load, servers)
    assert (load.measured, servers.started) == (ALL, [1, 2])
    assert storage.read(tmp_path / "a.jsonl") == summary.records
    record = summary.records[0]
    assert record.settings == {"clients": 1, "protocol": "grpc", "processes": 1, "instances": 1}
    assert record.versions["server"] == "9"
    assert "onnxruntime" in record.versions


def test_what_is_recorded_is_not_measured_again(tmp_path: Path) -> None:
    _scan(tmp_path / "a.jsonl", Load())
    again = Load()
    assert len(_scan(tmp_path / "a.jsonl", again).records) == 6
    assert again.measured == []
    more = parse('target = "m"\n[grid]\ninstances = [1, 2]\nclients = [1, 2, 4, 8]')
    assert len(_scan(tmp_path / "a.jsonl", again, spec=more).records) == 8
    assert again.measured == ["i1c8", "i2c8"]


def test_ctrl_c_is_recorded_and_the_scan_goes_on_later(tmp_path: Path) -> None:
    summary = _scan(tmp_path / "a.jsonl", Load(i1c4=KeyboardInterrupt()))
    assert summary.interrupted
    assert [record.status for record in storage.read(tmp_path / "a.jsonl")] == ["measured", "measured", "interrupted"]
    rest = Load()
    _scan(tmp_path / "a.jsonl", rest)
    assert rest.measured == ALL[2:]
    assert [record.status for record in storage.read(tmp_path / "a.jsonl")] == ["measured"] * 6


def test_an_interruption_that_the_load_records_ends_the_scan_as_well(tmp_path: Path) -> None:
    load = Load(i1c2="interrupted")
    assert _scan(tmp_path / "a.jsonl", load).interrupted
    assert load.measured == ALL[:2]


KILLED = """
import os, signal, sys
from pathlib import Path
from sonic.study.scan.run import scan
from test_run import SPEC, Load, Servers

class Fatal(Load):
    def __call__(self, point, spec, place):
        if len(self.measured) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(point, spec, place)

scan(SPEC, Path(sys.argv[1]), base=Path(), measure=Fatal(), deploy=Servers())
"""


def test_after_a_kill_the_scan_goes_on(tmp_path: Path) -> None:
    path, here = tmp_path / "a.jsonl", Path(__file__).parent
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=here, check=False)
    assert killed.returncode == -signal.SIGKILL
    with path.open("ab") as file:
        file.write(b'{"sonic_study":"point","tar')  # a line that was not whole yet
    rest = Load()
    _scan(path, rest)
    assert rest.measured == ALL[3:]
    assert len(storage.read(path)) == 6


def test_a_server_that_dies_is_recorded_with_its_last_words_and_replaced(tmp_path: Path) -> None:
    servers = Servers()

    def dies() -> str:
        servers.obituary = "sonic serve was ended by SIGKILL: out of memory"
        return "failed"

    load = Load(i1c2=dies)
    records = _scan(tmp_path / "a.jsonl", load, servers).records
    assert load.measured == ALL
    assert servers.started == [1, 1, 2]
    assert [record.status for record in records] == ["measured", "failed", *["measured"] * 4]
    assert records[1].reason == "failed it was; sonic serve was ended by SIGKILL: out of memory"


def test_a_server_that_died_after_a_point_is_not_asked_for_the_next(tmp_path: Path) -> None:
    servers = Servers()

    def dies_late() -> str:
        servers.obituary = "sonic serve ended with status 0"
        return "measured"

    records = _scan(tmp_path / "a.jsonl", Load(i1c2=dies_late), servers).records
    assert servers.started == [1, 1, 2]
    assert [record.status for record in records] == ["measured"] * 6


def test_a_server_that_does_not_start_costs_its_points_alone(tmp_path: Path) -> None:
    servers, load = Servers(), Load()
    servers.refuses = lambda point: point.settings["instances"] == 1
    records = _scan(tmp_path / "a.jsonl", load, servers).records
    assert [record.status for record in records] == ["failed"] * 3 + ["measured"] * 3
    assert "no such device" in records[0].reason
    assert records[0].settings == {"clients": 1, "instances": 1}


@pytest.mark.parametrize("error", [ConfigError("more rows than the model takes"), SonicError("no")])
def test_a_point_that_cannot_be_measured_is_recorded(tmp_path: Path, error: Exception) -> None:
    records = _scan(tmp_path / "a.jsonl", Load(i2c1=error)).records
    assert [record.status for record in records] == ["measured"] * 3 + ["failed"] + ["measured"] * 2
    assert records[3].reason == str(error)


def test_the_failed_and_the_unstable_are_measured_again_if_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    _scan(path, Load(i1c1="failed", i2c2="unstable"))
    records = _scan(path, Load()).records
    assert [record.status for record in records].count("failed") == 1
    assert [record.settings["clients"] for record in records] == [1, 2, 4] * 2
    first, second = Load(), Load()
    _scan(path, first, again={"failed"})
    _scan(path, second, again={"unstable"})
    assert (first.measured, second.measured) == (["i1c1"], ["i2c2"])
    assert [record.status for record in storage.read(path)] == ["measured"] * 6


def test_a_mistake_in_the_program_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _scan(tmp_path / "a.jsonl", Load(i1c2=ZeroDivisionError()))
    assert len(storage.read(tmp_path / "a.jsonl")) == 1


def test_other_records_in_the_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    _scan(path, Load(), spec=parse('target = "m"\n[fixed]\ninstances = 7\nclients = 7'))
    _scan(path, Load(i1c1=KeyboardInterrupt()))
    _scan(path, Load())
    assert [record.settings["instances"] for record in storage.read(path)] == [7, 1, 1, 1, 2, 2, 2]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "new" / "a.parquet"
    _scan(path, Load(i1c4=KeyboardInterrupt()))
    rest = Load()
    _scan(path, rest)
    assert rest.measured == ALL[2:]
    assert len(storage.read(path)) == 6


def test_progress_says_what_is_done_and_what_is_left(tmp_path: Path) -> None:
    news: list[Standing] = []
    _scan(tmp_path / "a.jsonl", Load(), progress=news.append)
    assert [each.done for each in news] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert {each.total for each in news} == {6}
    assert news[0].left_s > 6  # three windows each
    assert news[-1].left_s == 0
    assert news[2].visit is not None
    assert str(news[2].visit.point) == "m clients=2 instances=1"
    assert news[1].record is not None


def test_rounds_go_there_and_back_and_the_server_stays_where_they_turn(tmp_path: Path) -> None:
    servers, load = Servers(), Load()
    summary = _scan(tmp_path / "a.jsonl", load, servers, THERE_AND_BACK)
    assert load.measured == [*ALL, *ALL[::-1]] * 2
    assert servers.started == [1, 2, 1, 2, 1]
    assert storage.read(tmp_path / "a.jsonl") == summary.records
    assert [len(record.rounds) for record in summary.records] == [4] * 6
    assert {record.throughput for record in summary.records} == {Estimate(100.0, 100.0, 100.0)}
    assert prepare(THERE_AND_BACK, tmp_path / "a.jsonl").visits == ()


def test_a_scan_goes_on_in_the_middle_of_a_round(tmp_path: Path) -> None:
    path, servers = tmp_path / "a.jsonl", Servers()
    stopped = Load(i2c1=["measured", KeyboardInterrupt()])
    summary = _scan(path, stopped, spec=THERE_AND_BACK)
    assert stopped.measured == [*ALL, *ALL[:2:-1]]
    assert (summary.interrupted, summary.missing) == (True, 24 - 8)
    assert [record.status for record in storage.read(path)] == ["measured"] * 6  # what there was of it stays
    rest = Load()
    _scan(path, rest, servers, THERE_AND_BACK)
    assert rest.measured == [*ALL[3::-1], *ALL, *ALL[::-1]]
    assert [len(record.rounds) for record in storage.read(path)] == [4] * 6
    assert servers.started == [2, 1, 2, 1]


def test_a_point_whose_server_dies_in_round_two_has_no_further_round_until_it_is_wanted_again(tmp_path: Path) -> None:
    path, servers = tmp_path / "a.jsonl", Servers()

    def dies() -> str:
        servers.obituary = "sonic serve was ended by SIGKILL"
        return "failed"

    load, news = Load(i2c4=["measured", dies]), []
    records = _scan(path, load, servers, THERE_AND_BACK, progress=news.append).records
    assert load.measured == [*ALL, *ALL[::-1], *ALL[:5], *ALL[4::-1]]
    assert servers.started == [1, 2, 2, 1, 2, 1]
    assert [record.status for record in records] == ["measured"] * 5 + ["failed"]
    assert records[-1].reason == "round 2: failed, failed it was; sonic serve was ended by SIGKILL"
    assert records[-1].throughput == Estimate(100.0)  # of round 1
    assert records[-1].settings["protocol"] == "grpc"
    assert [each.done for each in news[12:16]] == [6, 9, 9, 10]  # two that are not needed any more go with it
    assert (news[-1].done, news[-1].total) == (24, 24)
    again = Load()
    _scan(path, again, spec=THERE_AND_BACK, again={"failed"})
    assert again.measured == ["i2c4"] * 4
    assert [record.status for record in storage.read(path)] == ["measured"] * 6


def test_a_point_that_is_unstable_in_half_of_its_rounds_has_no_further_one(tmp_path: Path) -> None:
    load = Load(i1c1="unstable", i1c2=["measured", "unstable", "measured", "measured"])
    records = _scan(tmp_path / "a.jsonl", load, spec=THERE_AND_BACK).records
    assert [record.status for record in records] == ["unstable", *["measured"] * 5]
    assert [len(record.rounds) for record in records] == [2, 4, 4, 4, 4, 4]
    assert records[1].reason == "round 2: unstable, unstable it was"


def test_more_rounds_are_added_to_what_there_is(tmp_path: Path) -> None:
    path, once, more = tmp_path / "a.jsonl", Load(), Load()
    _scan(path, once)
    assert not any(record.rounds for record in storage.read(path))
    _scan(path, more, spec=THERE_AND_BACK)
    assert more.measured == [*ALL[::-1], *ALL, *ALL[::-1]]
    _scan(path, more)  # fewer are not
    assert len(more.measured) == 18


class Drifting(Load):
    """Of a machine that slows down in proportion to time, by what a measurement takes: a second a client."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope, self.now_s = slope, 0.0

    def __call__(self, point: Point, spec: Spec, place: Place) -> Record:
        took_s = float(point.settings["clients"])
        speed = 1 - self.slope * (self.now_s + took_s / 2)
        self.now_s += took_s
        truth = 100.0 * float(point.settings["instances"])
        return replace(super().__call__(point, spec, place), throughput=Estimate(truth * speed))


@given(slope=st.floats(0.0, 0.01), rounds=st.sampled_from([2, 4, 6]))
def test_what_drifts_in_proportion_to_time_cancels(slope: float, rounds: int) -> None:
    spec = dataclasses.replace(SPEC, rounds=rounds)
    with TemporaryDirectory() as folder:
        records = _scan(Path(folder) / "a.jsonl", Drifting(slope), spec=spec).records
    rates = [record.throughput for record in records if record.throughput is not None]
    for clients in range(3):
        one, two = rates[clients], rates[clients + 3]
        assert two.value == pytest.approx(2 * one.value)
        assert one.value == pytest.approx(rates[0].value)
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.high or slope * 100 < 1e-9  # the drift is in the interval


def test_in_one_round_drift_bends_the_curve(tmp_path: Path) -> None:
    records = _scan(tmp_path / "a.jsonl", Drifting(0.01)).records
    rates = [record.throughput.value for record in records if record.throughput]
    assert rates[3] / rates[0] < 1.9


def test_a_server_of_somebody_s_is_named_in_its_records(tmp_path: Path) -> None:
    spec = parse('target = "m"\nserver = "grpc://gpu01:8001"\n[grid]\nclients = [1, 2]')

    def load(point: Point, spec: Spec, place: Place) -> Record:
        assert place.url == "grpc://gpu01:8001"
        return Record(
            target="m",
            settings=dict(point.settings),
            status="measured",
            started="2026-01-01T00:00:00Z",
            machine=Machine(system="", processor="", cores=2),
            versions={},
        )

    records = scan(spec, tmp_path / "a.jsonl", base=tmp_path, measure=load).records
    assert [record.settings for record in records] == [
        {"clients": clients, "protocol": "grpc", "server": "grpc://gpu01:8001"} for clients in (1, 2)
    ]
    assert not prepare(spec, tmp_path / "a.jsonl").visits


def test_netem_that_cannot_be_had_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    load = Load()
    with pytest.raises(SonicError, match="netem cannot be had here"):
        _scan(tmp_path / "a.jsonl", load, spec=parse('target = "m"\n[fixed]\nconditions = "netem"'))
    assert load.measured == []


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("no record\n")
    with pytest.raises(SonicError, match="line 1 is not a record"):
        prepare(SPEC, tmp_path / "a.jsonl")
