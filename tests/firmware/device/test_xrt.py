from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError, Unavailable
from sonic.firmware.device.layout import Layout
from sonic.firmware.device.xrt import XrtCard
from sonic.firmware.numbers import Fixed

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import FakeCard

LAYOUT = Layout(32, 3, 2, Fixed(16, 6), Fixed(16, 6))
UNITS = ["alveo_hls4ml_1", "alveo_hls4ml_2"]
REMAIN = "without a card there are device emulator and device modelled"


def sums(given: np.ndarray) -> np.ndarray:
    """The first number of each row, and the sum of the other two."""
    rows = given.view("<i2").reshape(32, -1)
    return np.stack([rows[:, 0], rows[:, 1] + rows[:, 2]], axis=1).astype("<i2").reshape(-1).view(np.uint8)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def opened(card: FakeCard, xclbin: Path, **options: Any) -> XrtCard:
    card.compute = sums
    clock = Clock()
    return XrtCard("m", xclbin, LAYOUT, **{"units": 2, "clock": clock, "sleep": clock.sleep} | options)


def test_blocks_are_computed(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin)
    rows = np.random.default_rng(1).integers(-64, 64, (20, 3)) / 8
    answer = xrt.wait(xrt.enqueue(rows, 1.0), 1.0)
    assert np.array_equal(answer.rows, np.stack([rows[:, 0], rows[:, 1] + rows[:, 2]], axis=1))
    assert answer.modelled_s is None
    xrt.close()


def test_every_unit_has_as_many_under_way_as_it_has_buffers(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, buffers=3)
    assert (xrt.block, xrt.slots) == (32, 6)
    blocks = [np.full((2, 3), float(number)) for number in range(8)]
    handles = [xrt.enqueue(block, 1.0) for block in blocks[:6]]
    assert card.ran == UNITS * 3
    assert card.most == 6
    for block, handle in zip(blocks, handles, strict=False):
        assert np.array_equal(xrt.wait(handle, 1.0).rows, block[:, :2] * [1, 2])
    for block in blocks[6:]:
        assert np.array_equal(xrt.wait(xrt.enqueue(block, 1.0), 1.0).rows, block[:, :2] * [1, 2])
    assert card.ran == UNITS * 4


def test_units_by_name(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, units=["alveo_hls4ml_2"])
    xrt.wait(xrt.enqueue(np.zeros((1, 3)), 1.0), 1.0)
    assert card.ran == ["alveo_hls4ml_2"]


def test_a_unit_that_hangs_hurts_its_own_block_alone(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, buffers=1)
    card.units["alveo_hls4ml_1"] = "hangs"
    handle = xrt.enqueue(np.ones((1, 3)), 1.0)
    with pytest.raises(Unavailable, match="model 'm': compute unit alveo_hls4ml_1 has not answered in 5 s"):
        xrt.wait(handle, 5.0)
    for _ in range(5):
        assert xrt.wait(xrt.enqueue(np.ones((1, 3)), 1.0), 1.0).rows.tolist() == [[1.0, 2.0]]
    assert card.ran[1:] == ["alveo_hls4ml_2"] * 5
    card.units["alveo_hls4ml_1"] = "works"  # and has ended by now
    for _ in range(3):
        xrt.wait(xrt.enqueue(np.ones((1, 3)), 1.0), 1.0)
    assert "alveo_hls4ml_1" in card.ran[6:]


def test_a_card_that_hangs_is_said_at_once_from_then_on(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, buffers=1)
    card.units = dict.fromkeys(card.units, "hangs")
    for handle in [xrt.enqueue(np.ones((1, 3)), 1.0) for _ in range(2)]:
        with pytest.raises(Unavailable, match="has not answered"):
            xrt.wait(handle, 1.0)
    with pytest.raises(Unavailable, match="model 'm': no compute unit answers"):
        xrt.enqueue(np.ones((1, 3)), 1000.0)


def test_buffers_that_are_all_in_use(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, units=1, buffers=1)
    xrt.enqueue(np.ones((1, 3)), 1.0)
    with pytest.raises(Unavailable, match=r"model 'm': no buffer became free in 0\.001 s"):
        xrt.enqueue(np.ones((1, 3)), 1e-3)


def test_a_block_that_fails(card: FakeCard, xclbin: Path) -> None:
    xrt = opened(card, xclbin, units=1, buffers=1)
    card.units["alveo_hls4ml_1"] = "fails"
    handle = xrt.enqueue(np.ones((1, 3)), 1.0)
    with pytest.raises(Unavailable, match=r"compute unit alveo_hls4ml_1 failed: .*ERT_CMD_STATE_ERROR"):
        xrt.wait(handle, 1.0)
    card.units["alveo_hls4ml_1"] = "works"
    assert xrt.wait(xrt.enqueue(np.ones((1, 3)), 1.0), 1.0).rows.tolist() == [[1.0, 2.0]]


def test_a_card_that_cannot_be_asked_has_not_answered(
    card: FakeCard, xclbin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xrt = opened(card, xclbin, units=1, buffers=1)

    def gone(_: object) -> None:
        raise RuntimeError("device is offline")

    handle = xrt.enqueue(np.ones((1, 3)), 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["pyxrt"].run, "state", gone)
        with pytest.raises(Unavailable, match="has not answered in 1 s"):
            xrt.wait(handle, 1.0)
        with pytest.raises(Unavailable, match="no compute unit answers"):
            xrt.enqueue(np.ones((1, 3)), 1.0)
    for _ in range(3):
        handle.run.state()  # it is back, and ends what it had
    xrt.enqueue(np.ones((1, 3)), 1.0)


@pytest.mark.parametrize(("where", "says"), [("write", "did not take a block: "), ("read", "failed: ")])
def test_transfers_that_fail(
    card: FakeCard, xclbin: Path, monkeypatch: pytest.MonkeyPatch, where: str, says: str
) -> None:
    xrt = opened(card, xclbin, units=1, buffers=1)

    def broken(*_: object) -> None:
        raise RuntimeError("DMA failed")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["pyxrt"].bo, where, broken)
        with pytest.raises(Unavailable, match=f"compute unit alveo_hls4ml_1 {says}RuntimeError: DMA failed"):
            xrt.wait(xrt.enqueue(np.ones((1, 3)), 1.0), 1.0)
    assert xrt.wait(xrt.enqueue(np.ones((1, 3)), 1.0), 1.0).rows.tolist() == [[1.0, 2.0]]


def test_without_pyxrt(xclbin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    with pytest.raises(ConfigError, match=f"device xrt needs pyxrt, which AMD's XRT installs .*; {REMAIN}"):
        XrtCard("m", xclbin, LAYOUT)


@pytest.mark.usefixtures("card")
def test_without_firmware_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no .*absent\.xclbin; {REMAIN}"):
        XrtCard("m", tmp_path / "absent.xclbin", LAYOUT)


def test_what_cannot_be_used(card: FakeCard, xclbin: Path) -> None:
    with pytest.raises(ConfigError, match=f"card 3 cannot be used with .*Could not open device.*; {REMAIN}"):
        opened(card, xclbin, index=3)
    with pytest.raises(ConfigError, match=r"No compute units with name 'alveo_hls4ml:{alveo_hls4ml_3}' found"):
        opened(card, xclbin, units=3)
    card.kernels = ["one", "two"]
    with pytest.raises(ConfigError, match="has kernels one, two; one is expected"):
        opened(card, xclbin)
    xclbin.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="Invalid xclbin"):
        opened(card, xclbin)
