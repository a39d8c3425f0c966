from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs, random_network  # noqa: E402
from sonic.workloads.networks.facile import FPGA, V2, V5, Facile  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives(exported_alike: Callable[..., Any]):
    session = exported_alike("facile-fpga", random_network("facile-fpga", 1.0, 0), rows=(1, 3, 16_384))
    channels = example_inputs("facile-fpga", 4)["input"]
    channels[1, 2] = np.nan
    (energies,) = session.run(None, {"input": channels})
    assert np.isnan(energies[:, 0]).tolist() == [False, True, False, False]


@pytest.mark.parametrize("config", [V2, V5, FPGA])
@torch.no_grad()
def test_a_channel_s_energy_does_not_depend_on_the_others(config: Any):
    torch.manual_seed(0)
    network = Facile(config).eval()
    channels = torch.randn(8, config.inputs)
    energies = network(channels)
    assert energies.shape == (8, 1)
    assert torch.allclose(network(channels[3:5]), energies[3:5], atol=1e-6)
    channels[0] = np.nan
    assert torch.equal(network(channels)[1:], energies[1:])


def test_v5_passes_what_is_below_zero():
    slopes = {type(m).__name__ for m in Facile(V5).modules()}
    assert "LeakyReLU" in slopes
    assert "ReLU" not in slopes
    assert Facile(V5.times(0.1)).config.hidden == (5, 3, 2, 2, 2, 2)
