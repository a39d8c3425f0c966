from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs  # noqa: E402
from sonic.workloads.networks.deepcalo import TINY, DeepCalo, DeepCaloConfig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SHALLOW = replace(TINY, blocks=((4,), (4, 6)))


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives_also_for_an_image_that_is_not_finite(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    session = exported_alike("deepcalo-tiny", DeepCalo(SHALLOW))
    images = example_inputs("deepcalo-tiny", 4)["images"]
    (energies,) = session.run(None, {"images": images})
    images[1, 13, 7, 2] = np.nan
    images[2, 0, 0, 0] = np.inf
    (found,) = session.run(None, {"images": images})
    assert np.isnan(found[:, 0]).tolist() == [False, True, True, False]
    assert np.array_equal(found[::3], energies[::3])


@pytest.mark.parametrize("config", [DeepCaloConfig().times(0.1), TINY])
@torch.no_grad()
def test_no_energy_is_negative(config: DeepCaloConfig):
    torch.manual_seed(0)
    network = DeepCalo(config).eval()
    network.head[-1].bias.zero_()
    energies = network(torch.from_numpy(example_inputs("deepcalo", 12)["images"]))
    assert energies.shape == (12, 1)
    assert (energies >= 0).all()


@torch.no_grad()
def test_an_empty_image_gives_an_energy():
    assert DeepCalo(TINY).eval()(torch.zeros(1, 56, 11, 4)).isfinite().all()
