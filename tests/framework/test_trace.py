from __future__ import annotations

import json

from sonic.framework.report import Phase, Record
from sonic.framework.trace import to_trace

RECORDS = (
    Record("(source)", Phase.RUN, 0, 1, 0, 0, 1000),
    Record("tagger", Phase.ACQUIRE, 0, 1, 0, 1000, 3000),
    Record("tagger", Phase.WAIT, 0, 1, -1, 3000, 10_000),
    Record("jets", Phase.RUN, 0, 1, 1, 3500, 5000),
    Record("tagger", Phase.PRODUCE, 0, 1, 0, 10_000, 12_000),
    Record("(sink)", Phase.RUN, 0, -1, 0, 12_000, 13_000),
)


def events_of(trace, **wanted):
    return [event for event in trace["traceEvents"] if wanted.items() <= event.items()]


def test_threads_have_what_they_executed():
    trace = json.loads(to_trace(RECORDS, "job"))
    done = events_of(trace, ph="X", pid=1)
    assert [(event["name"], event["tid"], event["ts"], event["dur"]) for event in done] == [
        ("(source)", 0, 0.0, 1.0),
        ("tagger acquire", 0, 1.0, 2.0),
        ("jets", 1, 3.5, 1.5),
        ("tagger produce", 0, 10.0, 2.0),
        ("(sink)", 0, 12.0, 1.0),
    ]
    assert done[1]["args"] == {"chunk": 0, "stream": 1}


def test_streams_have_work_and_waits_each_with_begin_and_end():
    trace = json.loads(to_trace(RECORDS))
    begins, ends = events_of(trace, ph="b", pid=2), events_of(trace, ph="e", pid=2)
    assert [event["name"] for event in begins] == [
        "(source)",
        "tagger acquire",
        "tagger wait",
        "jets",
        "tagger produce",
    ]
    assert [event["id"] for event in begins] == [event["id"] for event in ends]
    assert len({event["id"] for event in begins}) == len(begins)
    assert {event["tid"] for event in begins} == {1}


def test_requests_on_their_way_are_counted():
    records = [
        Record("m", Phase.WAIT, 0, 0, -1, 1000, 4000),
        Record("m", Phase.WAIT, 1, 1, -1, 2000, 3000),
    ]
    counters = events_of(json.loads(to_trace(records)), ph="C")
    assert [(event["ts"], event["args"]["requests"]) for event in counters] == [(1, 1), (2, 2), (3, 1), (4, 0)]


def test_tracks_have_names():
    trace = json.loads(to_trace(RECORDS, "job"))
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events_of(trace, name="thread_name")}
    assert names == {(1, 0): "thread 0", (1, 1): "thread 1", (2, 1): "stream 1"}
    assert events_of(trace, name="process_name", pid=1)[0]["args"]["name"] == "job: threads"


def test_no_records():
    assert events_of(json.loads(to_trace([])), ph="X") == []
