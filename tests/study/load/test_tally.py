from __future__ import annotations

import pickle
from collections import Counter

from sonic.study.load.tally import Tally


def tally(count: int, error: str = "") -> Tally:
    made = Tally(duration_s=0.5, requests=count, errors=bool(error), rows=3 * count, bytes_sent=8 * count, cpu_s=0.1)
    made.latencies.add([0.1] * count)
    made.error = error
    made.seconds = Counter({"a": 1.0, "events": float(count)})
    return made


def test_slices_of_a_process_follow_each_other() -> None:
    total = tally(2).then(tally(3, "it broke"))
    assert (total.duration_s, total.requests, total.rows, total.bytes_sent, total.errors) == (1.0, 5, 15, 40, 1)
    assert total.rate == 5.0
    assert total.latencies.count == 5
    assert total.error == "it broke"
    assert total.seconds == {"a": 2.0, "events": 5.0}


def test_processes_are_beside_each_other() -> None:
    total = Tally().beside(tally(2, "first")).beside(pickle.loads(pickle.dumps(tally(3, "second"))))
    assert (total.duration_s, total.requests, total.errors, total.error) == (0.5, 5, 2, "first")
    assert total.cpu_s == 0.2


def test_of_no_time_there_is_no_rate() -> None:
    assert Tally().rate == 0.0
