from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware import library
from sonic.firmware.build import build
from sonic.firmware.hls import write
from sonic.firmware.layers import GATES
from sonic.firmware.network import (
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Flatten,
    Network,
    Pooling,
    Product,
    Recurrent,
    Reshape,
    Scale,
    Softmax,
    Upsampling,
)
from sonic.firmware.numbers import Fixed, Types
from sonic.firmware.precision import Precision
from sonic.firmware.synthesis import Synthesis

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.build import Firmware

pytest.importorskip("hls4ml")
random = np.random.default_rng(6)
ROUNDED = Fixed(10, 3, rounding="RND", overflow="SAT")
PRECISION = Precision(Fixed(10, 3), Types(ROUNDED, Fixed(4, 2), Fixed(4, 2), ROUNDED, 256))


def normal(*shape: int) -> np.ndarray:
    return random.normal(size=shape) / 2


def recurrent(name: str, given: str, cell: Any, channels: int, states: int, every_step: bool) -> Recurrent:
    gates = GATES[cell] * states
    shapes = (channels, gates), (states, gates), (gates,), (gates,)
    return Recurrent(name, (given,), cell, *(normal(*shape) for shape in shapes), every_step)


@pytest.fixture(autouse=True)
def quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits do not depend on how well the emulator is optimised."""
    flags = [flag for flag in library._FLAGS if flag != "-O3"]
    monkeypatch.setattr(library, "_FLAGS", flags)


def compiled(network: Network, folder: Path, synthesis: Synthesis) -> tuple[Firmware, np.ndarray]:
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    made = build(network, PRECISION, folder, synthesis=synthesis)
    rows = np.random.default_rng(7).normal(size=(400, *network.shape)) * 4
    return made, made.precision.input.quantise(rows)


def same_bits(made: Firmware, rows: np.ndarray) -> None:
    """From several threads, in the first call of which tables are filled."""
    expected = made.reference(rows).reshape(len(rows), -1)
    emulate, results = made.emulator(), {}
    calls = [
        threading.Thread(target=lambda at=at: results.update({at: emulate(rows.reshape(len(rows), -1), 2)}))
        for at in range(3)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert all(np.array_equal(results[at], expected) for at in range(3))


def test_tables_and_recurrent_networks_with_distributed_arithmetic(tmp_path: Path) -> None:
    layers = (
        recurrent("first", "x", "gru", 2, 3, every_step=True),
        recurrent("second", "first", "lstm", 3, 2, every_step=False),
        Dense("a", ("second",), normal(2, 2), normal(2)),
        Activation("s", ("a",), "sigmoid"),
        Activation("t", ("a",), "tanh"),
        Product("p", ("s", "t")),
        Concatenation("c", ("p", "t")),
        Softmax("o", ("c",)),
    )
    network = Network("recurrent", "x", (4, 2), layers)
    made, rows = compiled(network, tmp_path / "made", Synthesis(strategy="da"))
    assert {"hls4ml", "da4ml"} <= set(made.versions)
    same_bits(made, rows)


def test_numbers_are_rounded_to_steps_beyond_all_of_their_bits(tmp_path: Path) -> None:
    """Where assertions of ap_fixed fail, which would end this process."""
    far = Types(Fixed(5, 12, rounding="RND", overflow="SAT"), Fixed(2, 2), Fixed(2, 2))
    network = Network("far", "x", (2,), (Activation("cut", ("x",), "relu"),))
    made = build(network, Precision(Fixed(8, 3), far), tmp_path / "far", route="hls4ml-vitis")
    rows = np.array([[-4.0, 3.96875], [1.5, 0.0]])
    assert np.array_equal(made.emulator()(rows, 1), made.reference(rows))


def test_streams_with_reuse(tmp_path: Path) -> None:
    layers = (
        Convolution("c2", ("x",), normal(2, 2, 1, 2), normal(2), (1, 1), ((0, 1), (1, 0))),
        Pooling("p2", ("c2",), "max", (2, 2), (2, 2)),
        Reshape("line", ("p2",), (4, 2)),
        Convolution("c1", ("line",), normal(3, 2, 2), normal(2), (1,), ((1, 1),)),
        Activation("t", ("c1",), "tanh"),
        Pooling("p1", ("t",), "average", (2,), (2,)),
        Flatten("row", ("p1",)),
        Dense("last", ("row",), normal(4, 2), normal(2)),
    )
    network = Network("streamed", "x", (4, 4, 1), layers)
    same_bits(*compiled(network, tmp_path / "made", Synthesis(strategy="resource", reuse=2, stream=True)))


@pytest.mark.parametrize("size", [(2,), (2, 2)])
def test_the_largest_of_numbers_that_wrap(size: tuple[int, ...], tmp_path: Path) -> None:
    """Catapult's types of what comes in and of what is pooled are not one."""
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    shape = (*(4 for _ in size), 2)
    network = one(
        Scale("s", ("x",), np.full(2, 3.0), np.zeros(2)), Pooling("p", ("s",), "max", size, size), shape=shape
    )
    wrapping = Precision(Fixed(8, 3), Types(Fixed(8, 3), Fixed(4, 3), Fixed(4, 3)), {"p": Types(Fixed(10, 4))})
    made = build(network, wrapping, tmp_path / "made", route="hls4ml-catapult")
    same_bits(made, made.precision.input.quantise(np.random.default_rng(8).uniform(-4, 4, (200, *shape))))


@pytest.mark.parametrize("integer", [3, 4, 5])
def test_constants_of_whole_numbers(integer: int, tmp_path: Path) -> None:
    """Which Catapult's writer writes without a digit behind the point, and rounds."""
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    bias, whole = np.array([-2.7, -0.2, 0.6, 1.2, 2.9, 3.5]), Fixed(4, integer)
    network = one(Dense("d", ("x",), np.array([[-1.6, -0.4, 0.6, 1.0, 1.4, 2.8]]), bias), shape=(1,))
    precision = Precision(Fixed(8, 4), Types(Fixed(16, 8), whole, whole))
    made = build(network, precision, tmp_path / "made", route="hls4ml-catapult")
    same_bits(made, made.precision.input.quantise(np.linspace(-8, 8, 200)[:, None]))


def test_a_reuse_that_cannot_be_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = one(Dense("a", ("x",), normal(5, 4), normal(4)), Dense("b", ("a",), normal(4, 3), normal(3)), shape=(5,))
    for reuse, says in ((5, {"'b'": "4"}), (1, {})):
        caplog.clear()
        write(network, Precision(), Synthesis(strategy="resource", reuse=reuse), tmp_path / str(reuse))
        said = [record.getMessage().split() for record in caplog.records if record.name == "sonic.firmware"]
        assert {words[1].rstrip(":"): words[2] for words in said} == says


def one(*layers: Any, shape: tuple[int, ...] = (4, 2)) -> Network:
    return Network("n", "x", shape, layers)


@pytest.mark.parametrize(
    ("network", "synthesis", "says"),
    [
        (one(Activation("s", ("x",), "sigmoid")), Synthesis(writer="Quartus"), "Quartus has tables of one side"),
        (one(Activation("t", ("x",), "tanh")), Synthesis(writer="Catapult"), "Catapult has lines in place of tables"),
        (one(Softmax("o", ("x",)), shape=(3,)), Synthesis(writer="Quartus"), "layer 'o': .*: take hls4ml-vitis"),
        (one(recurrent("r", "x", "gru", 2, 2, False)), Synthesis(writer="Catapult"), "layer 'r': .*take hls4ml-vitis"),
        (
            one(Pooling("p", ("x",), "max", (2,), (1,))),
            Synthesis(stream=True),
            r"streams pool windows side by side, given \[2\] in steps of \[1\]",
        ),
        (
            one(Concatenation("c", ("x", "x")), shape=(3,)),
            Synthesis(writer="Catapult", stream=True),
            "layer 'c': Catapult's streams lose the second",
        ),
        (one(Flatten("f", ("x",))), Synthesis(), "network 'n' computes nothing"),
        (
            one(Upsampling("u", ("x",), (2, 2, 2)), shape=(2, 2, 2, 1)),
            Synthesis(),
            "layer 'u': .* one or two dimensions",
        ),
        (Network("x", "x", (4,), (Flatten("f", ("x",)),)), Synthesis(), "network 'x' has an input of the same name"),
        (one(Flatten("f", ("x",))), Synthesis(strategy="da", reuse=2), "given Vitis and a reuse of 2"),
        (one(Flatten("f", ("x",))), Synthesis(writer="Quartus", strategy="da"), "da is for Vitis without reuse"),
    ],
)
def test_what_would_have_other_bits(network: Network, synthesis: Synthesis, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        write(network, Precision.uniform(Fixed(10, 4)), synthesis, tmp_path)


def test_an_hls4ml_that_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.firmware.hls._MENDED", {"nnet_activation.h": {"no such line": ""}})
    network = one(Activation("s", ("x",), "sigmoid"))
    with pytest.raises(ConfigError, match=r"nnet_activation\.h of hls4ml .* is not known here"):
        write(network, Precision.uniform(Fixed(10, 4)), Synthesis(), tmp_path)
