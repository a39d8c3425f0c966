from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.errors import ConfigError  # noqa: E402
from sonic.workloads.export import example_inputs, random_network  # noqa: E402
from sonic.workloads.networks.catalogue import blueprint  # noqa: E402
from sonic.workloads.networks.facile import FPGA, Facile  # noqa: E402
from sonic.workloads.networks.fixedpoint import FixedPoint, fixed  # noqa: E402
from sonic.workloads.networks.layers import shake  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 2.0**-10


def test_numbers_are_cut_off_and_wrapped_around():
    numbers = torch.tensor([0.3, -0.3, STEP / 2, -STEP / 2, 31.9999, 32.0, -32.0, -32.001], dtype=torch.float64)
    cut = [307 * STEP, -308 * STEP, 0.0, -STEP, 32 - STEP, -32.0, -32.0, 32 - 2 * STEP]
    expected = torch.tensor(cut, dtype=torch.float64)
    assert torch.equal(fixed(numbers), expected)
    assert torch.equal(fixed(fixed(numbers)), fixed(numbers))
    assert fixed(torch.tensor([float("nan"), float("inf")], dtype=torch.float64)).isnan().all()


@pytest.mark.timeout(300)
@torch.no_grad()
def test_exports_give_the_same_bits(exported_alike: Callable[..., Any]):
    network = random_network("facile-fpga-fixed", 1.0, 0)
    session = exported_alike("facile-fpga-fixed", network, rows=(1, 300))
    channels = example_inputs("facile-fpga-fixed", 200)["input"]
    (energies,) = session.run(None, {"input": channels})
    assert np.array_equal(energies, network(torch.from_numpy(channels)).numpy())
    assert np.array_equal(energies, np.round(energies / STEP) * STEP)
    assert len(np.unique(energies)) > 20


@torch.no_grad()
def test_it_is_near_to_floating_point():
    torch.manual_seed(0)
    floating = Facile(FPGA).eval()
    shake(floating)
    channels = torch.from_numpy(example_inputs("facile-fpga", 50)["input"])
    deviation = (FixedPoint(floating.layers)(channels) - floating(channels)).abs()
    assert 0 < deviation.max() < 0.05


@torch.no_grad()
def test_the_level_1_network_has_the_same_weights_as_in_floating_point():
    floating, other = random_network("jet-mlp", 1.0, 3), random_network("jet-mlp-fixed", 1.0, 3)
    jets = torch.from_numpy(example_inputs("jet-mlp", 64)["input"])
    scores = torch.softmax(other(jets), dim=1)
    assert torch.allclose(scores, floating(jets), atol=0.02)
    assert blueprint("jet-mlp-fixed").outputs[0].name == "logits"


@pytest.mark.parametrize("last", [torch.nn.Tanh(), torch.nn.BatchNorm1d(2)])
def test_other_layers_are_refused(last: torch.nn.Module):
    with pytest.raises(ConfigError, match="expected Linear, ReLU, or BatchNorm1d before Linear"):
        FixedPoint(torch.nn.Sequential(torch.nn.Linear(3, 2), last))
