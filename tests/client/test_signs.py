from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.client.signs import Signs
from sonic.errors import Unavailable
from sonic.specs import ModelSpec
from sonic.testing.clock import VirtualTimer
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.errors import InferenceError

NEVER = float("-inf")


class Slow(FakeTransport):
    """Takes its time, on virtual time, to answer a question."""

    def __init__(self, timer: VirtualTimer, lasts_s: float) -> None:
        super().__init__([ModelSpec("m", "1", (), ())], lambda _: {}, "fake:a")
        self.limits_s: list[float | None] = []
        self._timer, self._lasts_s = timer, lasts_s

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        self.limits_s.append(timeout_s)
        self._timer.advance(self._lasts_s)
        return super().model_spec(model, version, timeout_s)


class Asking:
    """Signs of one server, whose probes run when the test says so."""

    def __init__(self, lasts_s: float = 0.0) -> None:
        self.timer = VirtualTimer()
        self.way = Slow(self.timer, lasts_s)
        self.tasks: list[Callable[[], None]] = []
        self.closed = False
        self.signs = Signs({self.way.url: self.way}, self.timer, self.run)

    def run(self, task: Callable[[], None]) -> bool:
        if not self.closed:
            self.tasks.append(task)
        return not self.closed


def test_what_is_heard_is_remembered() -> None:
    asking = Asking()
    assert asking.signs.heard_s("fake:a") == NEVER
    asking.signs.heard("fake:a", 3.0)
    assert asking.signs.heard_s("fake:a") == 3.0


@pytest.mark.parametrize("down", [None, Unavailable("busy")])
def test_any_answer_is_a_sign_of_life(down: InferenceError | None) -> None:
    asking = Asking(lasts_s=0.5)
    asking.way.down = down
    asking.signs.probe("fake:a", "m", 1.0)
    asking.tasks.pop()()
    assert asking.signs.heard_s("fake:a") == 0.5
    assert asking.way.limits_s == [3.0]


def test_an_answer_that_comes_too_late_is_none() -> None:
    asking = Asking(lasts_s=1.0)
    asking.signs.probe("fake:a", "m", 1.0)
    asking.tasks.pop()()
    assert asking.signs.heard_s("fake:a") == NEVER


def test_a_server_is_asked_once_at_a_time() -> None:
    asking = Asking()
    for _ in range(3):
        asking.signs.probe("fake:a", "m", 1.0)
    assert len(asking.tasks) == 1
    asking.tasks.pop()()
    asking.signs.probe("fake:a", "m", 1.0)
    assert len(asking.tasks) == 1


def test_a_question_that_fails_is_no_sign_of_life_and_can_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking()
    monkeypatch.setattr(asking.way, "model_spec", lambda *_, **__: 1 / 0)
    for _ in range(2):
        asking.signs.probe("fake:a", "m", 1.0)
        with pytest.raises(ZeroDivisionError):
            asking.tasks.pop()()
    assert asking.signs.heard_s("fake:a") == NEVER


def test_nobody_is_asked_who_cannot_be() -> None:
    asking = Asking()
    asking.signs.probe("local:fallback", "m", 1.0)
    assert not asking.tasks
    asking.closed = True
    asking.signs.probe("fake:a", "m", 1.0)
    asking.closed = False
    asking.signs.probe("fake:a", "m", 1.0)
    assert len(asking.tasks) == 1
