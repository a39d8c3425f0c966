from __future__ import annotations

import threading

import numpy as np
import pytest

from sonic.server.scheduling.job import Job
from sonic.server.scheduling.taken import Taken


def job() -> Job:
    return Job({"x": np.ones((1, 1), np.float32)}, 1, ("y",), pytest.fail)


def test_there_are_some_until_the_last_has_ended() -> None:
    taken, first, second = Taken(), job(), job()
    assert taken.wait(0.0)
    taken.add(first)
    taken.add(second)
    taken.end([first])
    assert not taken.wait(0.0)
    taken.end([second, first])
    assert taken.wait(0.0)


def test_who_waits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, last, asleep = Taken(), job(), threading.Event()
    taken.add(last)
    wait = taken._empty.wait

    def noted(timeout: float | None = None) -> bool:
        asleep.set()
        return wait(timeout)

    monkeypatch.setattr(taken._empty, "wait", noted)
    seen: list[bool] = []
    waiter = threading.Thread(target=lambda: seen.append(taken.wait(60.0)), daemon=True)
    waiter.start()
    assert asleep.wait(10)
    taken.end([last])
    waiter.join(10)
    assert seen == [True]
