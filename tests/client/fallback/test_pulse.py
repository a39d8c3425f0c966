from __future__ import annotations

from sonic.client.fallback.pulse import Pulse
from sonic.testing.clock import VirtualTimer


def test_one_that_owes_answers_is_asked_for_a_sign_of_life() -> None:
    timer, asked = VirtualTimer(), []
    pulse = Pulse(timer, 5.0, lambda: asked.append(timer.now_s()))
    timer.advance(100)
    pulse.sent()
    timer.advance(3)
    pulse.sent()
    timer.advance(1)
    pulse.ended()  # at 104
    timer.advance(4)
    assert asked == []
    timer.advance(6)
    assert asked == [109, 114]
    pulse.ended()
    timer.advance(100)
    assert asked == [109, 114]
    pulse.sent()
    timer.advance(5)
    assert asked == [109, 114, 219]


def test_one_that_answers_is_not() -> None:
    timer, asked = VirtualTimer(), []
    pulse = Pulse(timer, 5.0, lambda: asked.append(timer.now_s()))
    pulse.sent()
    for _ in range(20):
        timer.advance(3)
        pulse.sent()
        pulse.ended()
    assert asked == []
    assert timer.wait_for(1, 0)  # one look at a time, however many requests
    assert not timer.wait_for(2, 0)
