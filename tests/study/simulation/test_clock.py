from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import ConfigError
from sonic.study.simulation.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Generator


def test_what_is_set_happens_in_the_order_of_time() -> None:
    clock, said = Clock(), []
    clock.after(2.0, lambda: said.append(("b", clock.now_s())))
    clock.after(1.0, lambda: said.append(("a", clock.now_s())))
    clock.after(2.0, lambda: said.append(("c", clock.now_s())))
    clock.run()
    assert said == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    assert clock.steps == 3


def test_time_passes_only_as_far_as_it_is_let() -> None:
    clock, said = Clock(), []
    clock.after(3.0, lambda: said.append("late"))
    clock.run(2.0)
    assert (clock.now_s(), said) == (2.0, [])
    clock.run(4.0)
    assert (clock.now_s(), said) == (4.0, ["late"])


def test_deadlines_pass_unless_they_are_withdrawn() -> None:
    clock, said = Clock(), []
    for at_s in (5.0, 1.0, 3.0):
        clock.set(at_s, lambda at_s=at_s: said.append((at_s, clock.now_s())))
    clock.set(2.0, lambda: said.append((2.0, 0.0))).withdraw()
    clock.after(4.0, lambda: clock.set(4.5, lambda: said.append((4.5, clock.now_s()))))
    clock.run()
    assert said == [(1.0, 1.0), (3.0, 3.0), (4.5, 4.5), (5.0, 5.0)]


def test_a_deadline_that_is_past_passes_now() -> None:
    clock, said = Clock(), []
    clock.after(2.0, lambda: clock.set(1.0, lambda: said.append(clock.now_s())))
    clock.run()
    assert said == [2.0]


def test_no_deadline_passes_once_it_is_closed() -> None:
    clock, said = Clock(), []
    clock.set(1.0, lambda: said.append(1))
    clock.close()
    clock.run()
    assert not said


def test_a_process_sleeps() -> None:
    clock, said = Clock(), []

    def steps() -> Generator[Any, Any, None]:
        yield clock.sleep(1.5)
        said.append(clock.now_s())

    clock.process(steps())
    clock.run()
    assert said == [1.5]


def test_without_simpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(ConfigError, match=r"needs simpy: pip install 'sonic-hep\[study\]'"):
        Clock()
