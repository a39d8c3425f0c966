from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.framework import OnError
from sonic.framework.processes.leases import Leases
from sonic.framework.source import Span


def leases(*lengths, processes=2, at_once=4, streams=2, ordered=True, on_error="stop"):
    """Leases of files with so many chunks each."""
    spans, base = [], 0
    for visit, length in enumerate(lengths):
        spans.append(Span(visit, base, base, base + length))
        base += length
    options = {"at_once": at_once, "streams": streams, "ordered": ordered, "on_error": OnError.parse(on_error)}
    return Leases(spans, processes, **options)


def chunks(span):
    return range(span.first, span.stop)


def places(spans):
    return [(span.visit, span.first, span.stop) for span in spans]


def test_spans_are_handed_out_in_order_and_get_shorter():
    plan = leases(400, processes=2, at_once=20, streams=1)
    handed = []
    while not plan.over:
        span = plan.grant(0)
        handed.append(span)
        for chunk in chunks(span):
            plan.put(0, chunk, f"item {chunk}")
        while (item := plan.take()) is not None:
            handed.append(item)
    spans = [one for one in handed if isinstance(one, Span)]
    assert [chunk for span in spans for chunk in chunks(span)] == list(range(400))
    assert len(spans[0]) == 20
    assert [len(span) for span in spans] == sorted((len(span) for span in spans), reverse=True)
    assert {len(span) for span in spans[-5:-1]} == {5}
    assert [one for one in handed if isinstance(one, str)] == [f"item {chunk}" for chunk in range(400)]


@pytest.mark.parametrize("lengths", [(400,), (4,) * 100])
def test_who_comes_first_gets_no_more_than_its_share_though_all_could_be_read_in_one_go(lengths):
    plan = leases(*lengths, processes=4, at_once=100_000)
    taken = 0
    while (span := plan.grant(0)) is not None:
        taken += len(span)
    assert 0 < taken <= 100


def test_a_span_is_of_one_file():
    plan = leases(3, 5, processes=1, at_once=100, streams=8)
    spans = []
    while (span := plan.grant(0)) is not None:
        spans.append(span)
    assert {span.visit for span in spans if span.first < 3} == {0}
    assert [chunk for span in spans for chunk in chunks(span)] == list(range(8))


def test_a_process_has_enough_to_do_and_no_more():
    plan = leases(1000, processes=2, at_once=4, streams=6)
    spans = []
    while (span := plan.grant(0)) is not None:
        spans.append(span)
    assert 6 < sum(map(len, spans)) <= 6 + 4


def test_what_waits_for_an_earlier_chunk_is_bounded():
    plan = leases(1000, processes=2, at_once=4, streams=2)
    slow = plan.grant("slow")
    given_out = 0
    while (span := plan.grant("quick")) is not None:
        for chunk in chunks(span):
            plan.put("quick", chunk, chunk)
            given_out += 1
        assert plan.take() is None
    assert given_out <= 2 * 2 * (4 + 4)
    for chunk in chunks(slow):
        plan.put("slow", chunk, chunk)
    assert plan.take() == 0
    while plan.take() is not None:
        pass
    assert plan.grant("quick") is not None


def test_unordered_chunks_are_written_as_they_come():
    plan = leases(8, processes=2, at_once=1, streams=1, ordered=False)
    first, second = plan.grant(0), plan.grant(1)
    plan.put(1, second.first, "second")
    assert plan.take() == "second"
    plan.put(0, first.first, "first")
    assert plan.take() == "first"
    assert plan.take() is None


def test_the_chunks_of_a_process_that_died_are_named():
    plan = leases(3, 50, processes=1, at_once=8, streams=8)
    while plan.grant(0) is not None:
        pass
    for chunk in (0, 5):
        plan.put(0, chunk, chunk)
    loss = plan.lost(0)
    assert places(loss.spans)[:3] == [(0, 1, 3), (1, 3, 5), (1, 6, loss.spans[2].stop)]
    assert loss.given_up[0].first == 1
    assert plan.lost("another") == type(loss)((), ())


def test_suspects_are_done_one_at_a_time_by_a_process_that_has_nothing_else():
    plan = leases(100, processes=2, at_once=3, streams=2, on_error="retry:1")
    busy = plan.grant("busy")
    dead = plan.grant("dead")
    loss = plan.lost("dead")
    assert (places(loss.spans), loss.given_up) == ([(0, dead.first, dead.stop)], ())
    assert plan.grant("busy") is None
    for chunk in chunks(busy):
        plan.put("busy", chunk, chunk)
    for chunk in chunks(dead):
        assert list(chunks(plan.grant("busy"))) == [chunk]
        assert plan.grant("busy") is None
        plan.put("busy", chunk, chunk)
    assert plan.grant("busy").first == dead.stop


@pytest.mark.parametrize(("on_error", "deaths"), [("stop", 1), ("retry:2", 3), ("skip", 2), ("retry:2,skip", 3)])
def test_how_often_a_chunk_may_kill_its_process(on_error, deaths):
    """Chunk 1 of each span of 2 kills whatever does it."""
    plan = leases(2, processes=1, at_once=2, streams=2, on_error=on_error)
    died = 0
    while True:
        span = plan.grant(died)
        more = plan.grant(died)
        had = [chunk for one in (span, more) if one for chunk in chunks(one)]
        if 1 not in had:
            plan.put(died, 0, 0)
            continue
        loss = plan.lost(died)
        died += 1
        if loss.given_up:
            break
    assert died == deaths
    given_up = [span.first for span in loss.given_up]
    assert given_up == ([0, 1] if on_error == "stop" else [1])


@given(st.data())
def test_everything_is_written_once_and_in_order_whoever_dies(data):
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    ordered = data.draw(st.booleans())
    plan = leases(*lengths, processes=3, at_once=3, streams=2, ordered=ordered, on_error="retry:1000")
    held, written, born = {number: [] for number in range(3)}, [], 3
    while not plan.over:
        for process, todo in held.items():
            while (span := plan.grant(process)) is not None:
                todo += chunks(span)
        busy = [process for process, todo in held.items() if todo]
        process = data.draw(st.sampled_from(busy))
        if born < 8 and data.draw(st.integers(0, 9)) == 9:
            del held[process]
            assert plan.lost(process).given_up == ()
            held[born] = []
            born += 1
            continue
        chunk = data.draw(st.sampled_from(held[process]))
        held[process].remove(chunk)
        plan.put(process, chunk, f"item {chunk}")
        while (item := plan.take()) is not None:
            written.append(item)
    expected = [f"item {chunk}" for chunk in range(sum(lengths))]
    assert (written if ordered else sorted(written, key=lambda item: int(item[5:]))) == expected
