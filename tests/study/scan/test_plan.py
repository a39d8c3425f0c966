from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.study.records import Machine, Record
from sonic.study.scan.plan import estimated_s, identity_of, plan, read_again
from sonic.study.scan.rounds import joined
from sonic.study.scan.spec import parse

HERE = {"sonic": "1", "python": "3"}
SPEC = parse('target = "m"\n[grid]\nclients = [1, 2]\n[[zip]]\nbatching = [false, true]')


def _record(
    status: str = "measured", target: str = "m", versions: dict[str, str] | None = None, **settings: object
) -> Record:
    return Record(
        target=target,
        settings=settings,  # type: ignore[arg-type]
        status=status,  # type: ignore[arg-type]
        started="2026-01-01T00:00:00Z",
        machine=Machine(system="", processor="", cores=2),
        versions=versions or HERE,
    )


def _left(*records: Record, again: frozenset[str] = frozenset()) -> list[str]:
    return [str(point) for point in plan(SPEC, records, HERE, again).points]


ALL = [
    "m clients=1 batching=false",
    "m clients=2 batching=false",
    "m clients=1 batching=true",
    "m clients=2 batching=true",
]


def test_at_first_all_is_to_be_measured() -> None:
    assert _left() == ALL


def test_what_is_done_is_not_repeated() -> None:
    assert _left(_record(clients=2, batching=False)) == [ALL[0], *ALL[2:]]


def test_what_a_record_says_beyond_the_scan_does_not_matter_if_it_is_usual() -> None:
    usual = _record(clients=1, batching=False, rows=1, protocol="grpc", compression="none", processes=1)
    assert _left(usual) == ALL[1:]
    assert _left(_record(clients=1, batching=False, rows=2)) == ALL


def test_a_default_that_is_left_out_is_the_same_point() -> None:
    assert _left(_record(batching=False)) == ALL[1:]


def test_other_targets_servers_and_versions_are_other_points() -> None:
    assert _left(_record(clients=1, batching=False, target="n")) == ALL
    assert _left(_record(clients=1, batching=False, server="grpc://a:8001")) == ALL
    assert _left(_record(clients=1, batching=False, versions={"sonic": "2"})) == ALL
    assert _left(_record(clients=1, batching=False, versions={"sonic": "1", "torch": "9"})) == ALL[1:]


def test_on_a_server_of_somebody_s_its_url_belongs_to_the_point() -> None:
    spec = parse('target = "m"\nserver = "http://a:8000?compression=gzip"')
    record = _record(server="http://a:8000?compression=gzip", protocol="http", compression="gzip")
    assert not plan(spec, [record], HERE).points
    assert plan(spec, [_record(protocol="http", compression="gzip")], HERE).points


@pytest.mark.parametrize("status", ["failed", "unstable", "measured"])
def test_again(status: str) -> None:
    record = _record(status, clients=1, batching=False)
    assert _left(record) == ALL[1:]
    assert _left(record, again=read_again([status])) == ALL
    assert _left(record, again=read_again(["all"])) == ALL


def test_the_interrupted_are_measured_again_and_forgotten() -> None:
    interrupted, done = _record("interrupted", clients=1, batching=False), _record(clients=2, batching=False)
    found = plan(SPEC, [interrupted, done], HERE)
    assert [str(point) for point in found.points] == [ALL[0], *ALL[2:]]
    assert found.kept == (done,)


def test_of_two_records_the_later_counts() -> None:
    failed, measured = _record("failed", clients=1, batching=False), _record(clients=1, batching=False)
    assert _left(failed, measured, again=read_again(["failed"])) == ALL[1:]
    assert _left(measured, failed, again=read_again(["failed"])) == ALL
    assert identity_of(failed) == identity_of(measured)


def test_a_point_is_visited_in_the_rounds_that_its_record_lacks() -> None:
    spec = parse('target = "m"\n[grid]\nclients = [1, 2, 3]\n[measure]\nrounds = 3')
    once = _record(clients=2)
    twice = joined(_record(clients=3), _record(clients=3))
    found = plan(spec, [once, twice], HERE)
    visits = [(visit.round, visit.point.settings["clients"]) for visit in found.visits]
    assert visits == [(1, 1), (2, 2), (2, 1), (3, 1), (3, 2), (3, 3)]
    assert [point.settings["clients"] for point in found.points] == [1, 2, 3]
    assert found.records == (once, twice)
    assert estimated_s([visit.point for visit in found.visits], spec) > estimated_s(found.points, spec)


def test_again_is_of_points_that_have_all_rounds() -> None:
    spec = parse('target = "m"\n[grid]\nclients = [1, 2]\n[measure]\nrounds = 2')
    records = [_record(clients=1), joined(_record(clients=2), _record(clients=2))]
    visits = [
        (visit.round, visit.point.settings["clients"]) for visit in plan(spec, records, HERE, {"measured"}).visits
    ]
    assert visits == [(1, 2), (2, 2), (2, 1)]


def test_again_of_something_else() -> None:
    with pytest.raises(ConfigError, match="--again is one of failed, unstable, measured, all, given broken"):
        read_again(["broken"])


def test_the_time_is_that_of_points_and_of_servers() -> None:
    one = estimated_s(SPEC.points[:1], SPEC)
    two, four = estimated_s(SPEC.points[:2], SPEC), estimated_s(SPEC.points, SPEC)
    assert four == pytest.approx(2 * two)  # two servers with two points each
    assert one < two < 2 * one
    assert estimated_s((), SPEC) == 0
    longer = parse('target = "m"\n[measure]\nwindow_s = 10.0\nrepeats = 5')
    assert estimated_s(longer.points, longer) > 50
