from __future__ import annotations

import logging

import numpy as np
import pytest

from sonic.errors import Unavailable
from sonic.firmware.device.modelled import ModelledCard
from sonic.firmware.device.timing import CardModel

MODEL = CardModel(block=100, units=2)


class Clock:
    """Time that passes when somebody sleeps or computes."""

    def __init__(self, computing_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.computing_s = computing_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def double(self, rows: np.ndarray, threads: int) -> np.ndarray:
        self.now_s += self.computing_s
        return 2 * rows


def opened(clock: Clock) -> ModelledCard:
    return ModelledCard("m", MODEL, clock.double, clock=clock, sleep=clock.sleep)


def test_bits_are_the_emulators_and_time_is_the_models() -> None:
    clock = Clock(MODEL.block_s / 2)
    card = opened(clock)
    rows = np.arange(6.0).reshape(3, 2)
    answer = card.wait(card.enqueue(rows, 1.0), 1.0)
    assert np.array_equal(answer.rows, 2 * rows)
    assert answer.modelled_s == pytest.approx(MODEL.block_s) == pytest.approx(clock.now_s - 100.0)
    assert answer.late_s == 0.0
    assert (card.blocks, card.late) == (1, 0)


def test_blocks_that_are_under_way_at_once_overlap() -> None:
    clock = Clock()
    card = opened(clock)
    handles = [card.enqueue(np.zeros((1, 2)), 1.0) for _ in range(card.slots)]
    for handle in handles:
        card.wait(handle, 1.0)
    assert MODEL.block_s < clock.now_s - 100.0 < 2 * MODEL.block_s


def test_it_says_where_the_emulator_is_slower(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(MODEL.block_s + 0.5)
    with caplog.at_level(logging.WARNING, "sonic.server"):
        card = opened(clock)
        assert "a card that is modelled, not there" in caplog.messages[0]
        for _ in range(12):
            answer = card.wait(card.enqueue(np.zeros((1, 2)), 1.0), 1.0)
        assert answer.late_s == pytest.approx(0.5)
        card.close()
    said = [message for message in caplog.messages if "slower than the modelled card" in message]
    assert [message.split("for ")[1].split(",")[0] for message in said] == [
        "1 of 1 blocks",
        "10 of 10 blocks",
        "12 of 12 blocks",
    ]
    assert "by 0.5 s at most" in said[-1]


def test_it_waits_no_longer_than_it_may() -> None:
    clock = Clock()
    card = opened(clock)
    handle = card.enqueue(np.zeros((1, 2)), 1.0)
    with pytest.raises(Unavailable, match=r"model 'm': the modelled card has not answered in 0.0001 s"):
        card.wait(handle, 1e-4)
