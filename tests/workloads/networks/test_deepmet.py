from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs  # noqa: E402
from sonic.workloads.features import MET_PT, MET_PX  # noqa: E402
from sonic.workloads.networks.deepmet import DeepMET, DeepMETConfig  # noqa: E402
from sonic.workloads.networks.layers import parameter_count  # noqa: E402


@pytest.fixture(scope="module")
def network() -> DeepMET:
    torch.manual_seed(0)
    network = DeepMET().train()
    torch.nn.init.normal_(network.bias.weight)
    network(*tensors(example_inputs("deepmet", 3)))
    return network.eval()


def tensors(arrays: dict[str, np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in arrays.values()]


def test_the_published_size():
    # 5,373 with ten constants of the published graph.
    assert parameter_count(DeepMET()) == 5_363
    assert parameter_count(DeepMET(DeepMETConfig().times(0.5))) < 5_363


@torch.no_grad()
def test_without_weights_it_is_minus_the_plain_sum():
    network = DeepMET().eval()
    torch.nn.init.zeros_(network.weight.weight)
    arrays = example_inputs("deepmet", 3)
    plain = -arrays["input"][:, :, MET_PX : MET_PX + 2].sum(axis=1)
    assert np.allclose(network(*tensors(arrays)).numpy(), plain, atol=1e-3)


@torch.no_grad()
def test_what_stands_in_padding_does_not_matter(network: DeepMET):
    arrays = example_inputs("deepmet", 4)
    expected = network(*tensors(arrays))
    absent = arrays["input"][:, :, MET_PT] == 0
    arrays["input"][absent] = 5.0
    arrays["input"][absent, MET_PT] = 0.0
    arrays["input_cat1"][absent] = 3
    assert torch.equal(network(*tensors(arrays)), expected)


@torch.no_grad()
def test_an_event_without_candidates_has_no_missing_momentum(network: DeepMET):
    arrays = {name: np.zeros_like(a) for name, a in example_inputs("deepmet", 2).items()}
    assert network(*tensors(arrays)).abs().max() == 0
