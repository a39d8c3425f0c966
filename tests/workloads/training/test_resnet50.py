from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastjet")

from sonic.errors import ConfigError  # noqa: E402
from sonic.workloads.networks.resnet50 import ResNetConfig  # noqa: E402
from sonic.workloads.training import resnet50  # noqa: E402
from sonic.workloads.training.resnet50 import DEFAULTS, evaluate, jets_of, plan, train  # noqa: E402
from sonic.workloads.truth import WIDE_CLASSES  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

SMALL = replace(DEFAULTS, events=20, epochs=2, batch=4, width=1 / 16, device="cpu", cores=1)


def quiet(*_: Any) -> None:
    pass


def events(number: int, prongs: int, seed: int) -> ak.Array:
    """One wide jet an event: of three directions a top quark's, of one a gluon's."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, (number, 1)) + 2 * np.pi / prongs * random.integers(prongs, size=(number, 20))
    distance = 0.4 if prongs > 1 else 0.0
    columns = {
        "FatJet": {
            "pt": np.full((number, 1), 500.0),
            "eta": np.zeros((number, 1)),
            "phi": np.zeros((number, 1)),
            "truthClass": np.full((number, 1), WIDE_CLASSES.index("Tbqq" if prongs > 1 else "QCDothers")),
        },
        "FatJetPFCands": {"jetIdx": np.zeros((number, 20), int), "pFCandsIdx": np.tile(np.arange(20), (number, 1))},
        "PFCands": {
            "pt": random.exponential(25.0, (number, 20)),
            "eta": distance * np.cos(angle) + random.normal(0, 0.02, (number, 20)),
            "phi": distance * np.sin(angle) + random.normal(0, 0.02, (number, 20)),
            "charge": random.integers(2, size=(number, 20)),
            "puppiWeight": np.ones((number, 20)),
        },
    }
    flat = {f"{c}_{n}": ak.from_regular(ak.Array(v)) for c, named in columns.items() for n, v in named.items()}
    return ak.zip(flat, depth_limit=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any], Any, dict[str, Any]]:
    """A training, and the same once more from its checkpoint."""
    folder = tmp_path_factory.mktemp("resnet50")

    def simulate(process: Any, number: int, seed: int, block: int) -> ak.Array:
        return events(number, 3 if process.name.startswith("tt") else 1, seed + block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sonic.workloads.simulation.sample.simulate", simulate)
        patch.setattr(resnet50, "ResNetConfig", lambda: replace(ResNetConfig(), blocks=(1, 1, 1, 1)))
        return *train(SMALL, folder, quiet), *train(SMALL, folder, quiet)


def test_training_says_what_it_reached_and_goes_on_from_its_checkpoint(trained: Any):
    network, metrics, again, known = trained
    assert not network.training
    assert metrics["train_jets"] == 20
    assert metrics["test_jets"] == 7
    assert len(metrics["losses"]) == 2
    assert metrics["auc"]["mass_and_tau32"] == 1
    assert 0 <= metrics["auc"]["resnet50"] <= 1
    assert metrics["figure"].startswith("AUC top vs QCD ")
    assert known["losses"] == metrics["losses"]
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_network_too_narrow_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"from width 0\.0625 on, got 0\.03"):
        train(replace(SMALL, width=0.03), tmp_path, quiet)


def test_jets_are_those_of_known_kind_in_the_range():
    made = events(6, 3, seed=1)
    pt = ak.Array([[500.0], [300.0], [900.0], [500.0], [500.0], [500.0]])
    eta = ak.Array([[0.0], [0.0], [0.0], [2.6], [0.0], [0.0]])
    kind = np.array([[0]] * 4 + [[-1], [WIDE_CLASSES.index("QCDb")]]) + 0
    for name, values in (("pt", pt), ("eta", eta), ("truthClass", ak.from_regular(ak.Array(kind)))):
        made = ak.with_field(made, values, f"FatJet_{name}")
    found = jets_of(made, np.random.default_rng(1))
    assert found["label"].tolist() == [1, 0]
    assert found["counts"].tolist() == [20, 20]
    assert len(found["pt"]) == len(found["charged"]) == 40
    assert (found["mass_gev"] > 50).all()


def test_events_are_divided_and_no_block_is_in_both_parts():
    blocks = plan(1000)
    assert sum(block.events for block in blocks if block.role == "train") == 1000
    assert len({block.name for block in blocks}) == len({(b.process.name, b.number) for b in blocks}) == len(blocks)
    assert {block.role for block in plan(1)} == {"train", "test"}


def test_areas_are_of_the_scores():
    jets = {"label": np.array([1, 1, 0, 0]), "mass_gev": np.array([170.0, 30, 30, 30])}
    jets |= {"tau2": np.ones(4), "tau3": np.array([0.3, 0.5, 0.8, 0.4])}
    found = evaluate(np.array([0.9, 0.8, 0.1, 0.2], np.float32), jets)
    assert found["auc"] == {"resnet50": 1.0, "mass_and_tau32": 0.75}
    assert found["mistag_at_half_efficiency"]["resnet50"] == 0
