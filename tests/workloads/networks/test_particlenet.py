from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs  # noqa: E402
from sonic.workloads.networks.layers import folded, parameter_count  # noqa: E402
from sonic.workloads.networks.particlenet import ParticleNet, ParticleNetConfig, nearest  # noqa: E402


@pytest.fixture(scope="module")
def network() -> ParticleNet:
    """A trained one, as far as its normalisations have seen data."""
    torch.manual_seed(0)
    network = ParticleNet().train()
    for seed in range(3):
        network(*tensors(example_inputs("particlenet-ak4", 64, seed)))
    return network.eval()


def tensors(arrays: dict[str, np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in arrays.values()]


def test_the_published_size():
    # 235,495 with the published graph's three constants.
    assert parameter_count(ParticleNet()) == 235_492
    assert parameter_count(ParticleNet(ParticleNetConfig().times(0.5))) < 235_492 / 3


@torch.no_grad()
def test_outputs_are_probabilities(network: ParticleNet):
    scores = network(*tensors(example_inputs("particlenet-ak4", 20)))
    assert scores.shape == (20, 8)
    assert torch.allclose(scores.sum(1), torch.ones(20), atol=1e-5)


@torch.no_grad()
def test_what_stands_in_padding_does_not_matter(network: ParticleNet):
    arrays = example_inputs("particlenet-ak4", 20)
    expected = network(*tensors(arrays))
    for kind in ("pf", "sv"):
        absent = np.broadcast_to(arrays[f"{kind}_mask"] == 0, arrays[f"{kind}_features"].shape)
        arrays[f"{kind}_features"][absent] = np.nan
        arrays[f"{kind}_points"][absent[:, :2]] = 0.01
    assert torch.equal(network(*tensors(arrays)), expected)


@torch.no_grad()
def test_more_padding_changes_nothing(network: ParticleNet):
    arrays = example_inputs("particlenet-ak4", 20)
    expected = network(*tensors(arrays))
    wider = {name: np.pad(a, [(0, 0), (0, 0), (0, 7)]) for name, a in arrays.items()}
    assert torch.allclose(network(*tensors(wider)), expected, atol=1e-5)


@torch.no_grad()
def test_the_order_of_particles_does_not_matter(network: ParticleNet):
    arrays = example_inputs("particlenet-ak4", 20)
    expected = network(*tensors(arrays))
    order = np.random.default_rng(0).permutation(50)
    shuffled = {name: a[:, :, order] if name.startswith("pf") else a for name, a in arrays.items()}
    assert torch.allclose(network(*tensors(shuffled)), expected, atol=1e-4)


@torch.no_grad()
def test_a_jet_of_nonsense_leaves_the_others_alone(network: ParticleNet):
    arrays = example_inputs("particlenet-ak4", 6)
    expected = network(*tensors(arrays))
    arrays["pf_features"][0] = np.nan
    found = network(*tensors(arrays))
    assert torch.equal(found[1:], expected[1:])
    assert found[0].isnan().all()


@torch.no_grad()
@pytest.mark.parametrize("particles", [0, 1, 2, 8, 9])
def test_jets_of_few_particles(network: ParticleNet, particles: int):
    arrays = example_inputs("particlenet-ak4", 2)
    arrays["pf_mask"][0, 0] = np.arange(50) < particles
    arrays["sv_mask"][0] = 0
    assert network(*tensors(arrays)).isfinite().all()


@torch.no_grad()
def test_folding_keeps_the_scores(network: ParticleNet):
    inputs = tensors(example_inputs("particlenet-ak4", 50))
    assert (folded(network)(*inputs) - network(*inputs)).abs().median() < 1e-6


def test_no_point_is_its_own_neighbour_where_neighbours_are_few():
    mask = torch.arange(12).unsqueeze(0) < 3
    found = nearest(torch.zeros(1, 12, 2), mask, 8)[0]
    for i in range(3):
        assert i not in found[i]
        assert mask[0][found[i]].sum() == 2


def test_neighbours_are_the_nearest_that_exist():
    rng = np.random.default_rng(0)
    points, mask = rng.normal(size=(3, 12, 2)).astype(np.float32), rng.random((3, 12)) < 0.8
    found = nearest(torch.from_numpy(points), torch.from_numpy(mask), 4).numpy()
    for jet in range(3):
        for i in np.flatnonzero(mask[jet]):
            distance = ((points[jet] - points[jet, i]) ** 2).sum(1)
            others = [j for j in np.argsort(distance) if j != i and mask[jet, j]]
            assert set(found[jet, i]) == set(others[:4])
