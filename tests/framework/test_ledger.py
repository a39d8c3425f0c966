from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.framework.ledger import Account, Ledger
from sonic.framework.report import SINK, SOURCE, Phase


def test_a_wait_is_hidden_while_all_threads_work():
    ledger = Ledger(["a"], threads=2)
    ledger.busy(0, +2)
    mark = ledger.departed(0, 100)
    ledger.waited(0, 0, 0, 100, 300, mark)
    assert ledger.accounts[0].external_ns == ledger.accounts[0].hidden_ns == 200


def test_a_wait_is_not_hidden_while_all_threads_are_idle():
    ledger = Ledger(["a"], threads=2)
    ledger.busy(0, +1)
    ledger.busy(100, -1)
    ledger.waited(0, 0, 0, 100, 300, ledger.departed(0, 100))
    assert ledger.accounts[0].external_ns == 200
    assert ledger.accounts[0].hidden_ns == 0


def test_a_wait_is_hidden_in_part():
    # Two threads; one works from 0 to 60, the other from 40 to 100; the wait is from 20 to 120.
    ledger = Ledger(["a"], threads=2)
    ledger.busy(0, +1)
    mark = ledger.departed(0, 20)
    ledger.busy(40, +1)
    ledger.busy(60, -1)
    ledger.busy(100, -1)
    ledger.waited(0, 0, 0, 20, 120, mark)
    assert ledger.accounts[0].hidden_ns == (20 * 1 + 20 * 2 + 40 * 1) / 2


times = st.integers(0, 50)


@given(
    st.lists(st.tuples(times, times).map(sorted), max_size=6),
    st.lists(st.tuples(times, times).map(sorted), min_size=1, max_size=4),
)
def test_the_running_sum_agrees_with_counting_every_tick(work, waits):
    threads = max(1, len(work))
    ledger = Ledger(["a"], threads)
    marks = {}
    for tick in range(52):
        for start, stop in work:
            ledger.busy(tick, (start == tick) - (stop == tick))
        for number, (start, stop) in enumerate(waits):
            if start == tick:
                marks[number] = ledger.departed(0, tick)
            if stop == tick:
                ledger.waited(0, 0, 0, start, stop, marks[number])
    counted = sum(
        sum(start <= tick < stop for start, stop in work) / threads
        for begin, end in waits
        for tick in range(begin, end)
    )
    assert ledger.accounts[0].hidden_ns == pytest.approx(counted)
    assert ledger.accounts[0].external_ns == sum(end - begin for begin, end in waits)


def test_work_is_summed_by_module():
    ledger = Ledger(["a", "b"], threads=1)
    ledger.worked(0, Phase.ACQUIRE, 0, 0, 0, 10, 30, 15)
    ledger.worked(0, Phase.PRODUCE, 0, 0, 0, 50, 60, 5)
    ledger.worked(2, Phase.RUN, 0, 0, 0, 0, 10, 9)
    assert (ledger.accounts[0].wall_ns, ledger.accounts[0].cpu_ns) == (30, 20)
    assert ledger.accounts[1].wall_ns == 0
    assert [record.module for record in ledger.records] == ["a", "a", SOURCE]
    assert ledger.names == ("a", "b", SOURCE, SINK)


def test_records_are_bounded_and_sums_are_not():
    ledger = Ledger(["a"], threads=1, max_records=3)
    for i in range(10):
        ledger.worked(0, Phase.RUN, i, 0, 0, i, i + 1, 1)
    ledger.waited(0, 10, 0, 0, 1, ledger.departed(10, 0))
    assert [record.chunk for record in ledger.records] == [0, 1, 2]
    assert ledger.cut == 8
    assert ledger.accounts[0].wall_ns == 10


def test_requests_are_counted_as_they_are_sent():
    account = Account()
    account.sent(5, 0, 50)
    account.sent(250, 100, 2500)
    account.sent(100, 100, 1000)
    report = account.offload("m", "1", "async", None)
    assert (report.requests, report.rows, report.bytes_sent) == (1 + 3 + 1, 355, 3550)
    assert (report.batch_min, report.batch_max) == (5, 250)
    assert report.batch_mean == pytest.approx(355 / 3)


def test_a_module_that_never_called_its_model():
    report = Account().offload("m", "", "sync", None)
    assert (report.requests, report.batch_mean, report.external_s) == (0, 0.0, 0.0)


def test_passed_events_are_those_of_filters():
    account = Account(calls=1, events=10, passed=4)
    assert account.report("f", "filter", filters=True).passed == 4
    assert account.report("p", "producer").passed is None


def test_requests_of_one_chunk_that_are_out_together():
    ledger = Ledger(["one", "two", "three"], 1)
    marks = [ledger.departed(chunk, start) for chunk, start in ((0, 0), (0, 10), (1, 15), (0, 20))]
    ledger.waited(0, 0, 0, 0, 30, marks[0])
    ledger.waited(1, 0, 0, 10, 45, marks[1])
    ledger.waited(2, 0, 0, 20, 90, marks[3])
    ledger.waited(0, 1, 1, 15, 95, marks[2])
    assert ledger.together_ns == 45 - 10


def test_what_several_processes_booked_adds_up():
    one, other, none, total = Account(), Account(), Account(), Account()
    one.sent(5, 10, 50)
    one.sent(25, 10, 250)
    other.sent(3, 0, 30)
    one.calls, one.events, one.cpu_ns, one.hidden_ns = 2, 20, 7, 1.5
    other.calls, other.events, other.cpu_ns, other.retries = 1, 10, 3, 4
    for account in (none, one, other, none):
        total.add(account)
    assert (total.calls, total.events, total.cpu_ns, total.hidden_ns, total.retries) == (3, 30, 10, 1.5, 4)
    assert (total.calls_sent, total.requests, total.rows, total.bytes_sent) == (3, 5, 33, 330)
    assert (total.batch_min, total.batch_max) == (3, 25)
