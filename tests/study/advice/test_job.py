"""What a job asks of its models, from its reports."""

from __future__ import annotations

from copy import deepcopy

import pytest

from sonic.errors import DataError
from sonic.study.advice.job import from_reports


def report(mode: str, **cpu_s: float) -> dict:
    modules = [{"name": "reader", "cpu_s": 2.0, "offload": None}]
    for name, seconds in cpu_s.items():
        offload = {"model": name.upper(), "rows": 40, "bytes_sent": 4000, "bytes_received": 400}
        modules.append({"name": name, "cpu_s": seconds, "offload": offload})
    return {"workflow": "w", "mode": mode, "events": 10, "chunk_size": 5, "modules": modules}


def test_the_figures_of_an_event() -> None:
    job = from_reports(report("direct", a=5.0, b=1.0), report("service", a=0.5, b=2.0))
    assert (job.workflow, job.event_s, job.chunk_size, job.host_known) == ("w", 0.8, 5, True)
    first, second = job.offloads
    assert (first.module, first.model, first.cpu_s, first.host_s, first.rows) == ("a", "A", 0.5, 0.05, 4)
    assert (first.bytes_sent, first.bytes_received) == (400, 40)
    assert first.saved_s == pytest.approx(0.45)
    assert second.saved_s == 0  # to send it costs more than to compute it


def test_without_a_server_nothing_is_taken_to_be_left_to_the_job() -> None:
    job = from_reports(report("direct", a=5.0), event_s=3.0)
    assert not job.host_known
    assert job.event_s == 3.0
    assert job.offloads[0].saved_s == 0.5


def without(given: dict, name: str) -> dict:
    made = deepcopy(given)
    del made[name]
    return made


@pytest.mark.parametrize(
    ("direct", "service", "event_s", "says"),
    [
        ({}, None, None, "lacks"),
        ([], None, None, "no report"),
        (without(report("direct", a=1.0), "workflow"), None, None, "workflow"),
        (report("service", a=1.0), None, None, "expected the report of a job in mode 'direct'"),
        (report("direct", a=1.0), report("direct", a=1.0), None, "expected the report of a job in mode 'service'"),
        (report("direct", a=1.0) | {"events": 0}, None, None, "without events"),
        (report("direct"), None, None, "offloads nothing"),
        (report("direct", a=1.0), report("service", b=1.0), None, "'a' is in one report alone"),
        (report("direct", a=1.0), report("service", a=1.0) | {"workflow": "v"}, None, "one report is of 'w'"),
        (report("direct", a=9.0), None, 0.5, "more in its models alone"),
        (report("direct", a=9.0), None, float("nan"), "an event takes nan s in all"),
        (report("direct", a=9.0), None, float("inf"), "an event takes inf s, expected more than nothing, and an end"),
        (report("direct", a=-2.0), None, None, "an event takes 0 s, expected more than nothing"),
        (
            report("direct", a=1.0) | {"modules": [{"name": "b", "cpu_s": 1, "offload": {}}]},
            None,
            None,
            "no report of a job: it lacks 'model'",
        ),
        (report("direct", a=1.0) | {"events": "many"}, None, None, "no report of a job: .*'many'"),
        (report("direct", a=1.0) | {"modules": 3}, None, None, "no report of a job: "),
    ],
)
def test_reports_that_make_no_sense(direct, service, event_s, says) -> None:
    with pytest.raises(DataError, match=says):
        from_reports(direct, service, event_s=event_s)
