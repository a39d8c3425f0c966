from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.ecal.images import draw  # noqa: E402
from sonic.workloads.ecal.simulation import Beam, electrons  # noqa: E402
from sonic.workloads.networks.deepcalo import DeepCalo, DeepCaloConfig  # noqa: E402
from sonic.workloads.training.deepcalo import FULL, REGIONS, TINY, Trainer, evaluate, loss, prepare  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Trainer(
    DeepCaloConfig(blocks=((2,), (2, 2), (4,)), mean=True, hidden=(8,)),
    replace(TINY.DEFAULTS, events=128, epochs=3, batch=32, device="cpu", learning_rate=2e-2),
)


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeepCalo, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("deepcalo")
    return folder, *SMALL.train(SMALL.DEFAULTS, folder, quiet)


def test_training_learns_and_says_what_it_reached(trained: tuple[Path, DeepCalo, dict[str, Any]]):
    _, network, metrics = trained
    assert not network.training
    assert metrics["losses"][-1] < metrics["losses"][0]
    assert list(metrics["eta"]) == list(REGIONS)
    for row in metrics["eta"].values():
        assert list(row) == ["deepcalo", "window"]
        assert all(len(each["bias"]) == len(each["resolution"]) == 6 for each in row.values())
    assert metrics["figure"].startswith("resolution ")
    made = electrons(SMALL.DEFAULTS.events, seed=SMALL.DEFAULTS.seed)
    with torch.no_grad():
        found = network(torch.from_numpy(draw(made)))[:, 0]
    # In GeV, not in the unit of the training.
    assert loss(found, torch.from_numpy(made.energy_gev.astype(np.float32))) < metrics["losses"][0]


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(
    trained: tuple[Path, DeepCalo, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    folder, network, metrics = trained
    monkeypatch.setattr("sonic.workloads.training.deepcalo.evaluate", lambda *_: {"eta": metrics["eta"]})
    again, known = SMALL.train(SMALL.DEFAULTS, folder, quiet)
    assert known["losses"] == metrics["losses"]
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("config", [SMALL.config, FULL.config.times(0.05)])
def test_normalisations_are_set_once_and_what_the_dense_layers_see_varies_by_one(config: DeepCaloConfig):
    torch.manual_seed(1)
    network = DeepCalo(config)
    sample = torch.from_numpy(draw(electrons(40, Beam(max_energy_gev=50.0), seed=10)))
    norms = prepare(network, sample)
    assert len(norms) == 1 + sum(map(len, config.blocks))
    seen = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network.eval()(sample)
    channels = seen[0].reshape(40, config.blocks[-1][-1], -1).transpose(1, 2).flatten(0, 1)
    assert channels.std(0).numpy() == pytest.approx(np.ones(channels.shape[1]), rel=1e-3)
    assert not any(parameter.requires_grad for parameter in network.input_norm.parameters())


def test_one_electron_is_enough_to_set_them():
    network = DeepCalo(SMALL.config)
    sample = torch.from_numpy(draw(electrons(1, seed=10)))
    prepare(network, sample)
    assert network(sample).isfinite().all()


def test_the_loss_asks_for_what_can_be_known():
    true = torch.tensor([5.0, 200.0])
    assert loss(true, true) == 0
    assert loss(true + torch.tensor([1.0, 0.0]), true) > loss(true + torch.tensor([0.0, 1.0]), true)


def test_figures_are_those_of_what_is_found():
    made = electrons(60, Beam(40.0, 80.0), seed=12)

    class Twice(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return 2 * x.sum((1, 2, 3))[:, None]

    found = evaluate(Twice(), made)["eta"]["0 to 0.8"]
    bias = [value for value in found["deepcalo"]["bias"] if value is not None]
    assert bias
    assert all(0.5 < value < 1.2 for value in bias)


def test_both_networks_are_trained_by_it():
    from sonic.workloads import zoo

    assert zoo.defaults("deepcalo-tiny") == TINY.DEFAULTS
    assert zoo.defaults("deepcalo") == FULL.DEFAULTS
    assert FULL.DEFAULTS.width < 1
