from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sonic.workloads import MODELS, modelcard, zoo

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = [network for network in zoo.NETWORKS if network.shipped]
NAMES = [network.name for network in SHIPPED]


@pytest.mark.parametrize("network", SHIPPED, ids=NAMES)
def test_each_network_that_ships_has_the_card_of_its_metrics(network: zoo.Network):
    metrics = network.metrics()
    assert {*modelcard.TEXTS, "elapsed_s"} <= set(metrics)
    assert len(metrics["figure"]) <= 70
    assert (MODELS / network.name / modelcard.FILE).read_text() == modelcard.markdown(network, metrics)


def test_a_card_says_what_a_network_is_and_how_to_make_it_again(tmp_path: Path):
    network = zoo.network("facile-v5")
    recipe = {"events": 2_000, "epochs": 3, "batch": 64, "learning_rate": 0.01, "seed": 4, "width": 0.5, "cores": 1}
    metrics = {
        "recipe": recipe,
        "versions": {"torch": "2"},
        "device": "cpu",
        "parameters": 1234,
        "figure": "resolution 0.2",
        "data": "channels",
        "limits": "no noise.",
        "elapsed_s": 130.0,
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    modelcard.write(network, tmp_path)
    card = (tmp_path / modelcard.FILE).read_text()
    assert card.startswith(
        "# facile-v5\n\nFinds energy of hadron-calorimeter channels, small: 1,234 parameters, 0.5 of"
    )
    assert (
        "Channels. 2,000 events, 3 times; 64 samples a step, learning rate up to 0.01, seed 4. It took 2 min, 1" in card
    )
    assert "sonic train facile-v5 --events 2000 --epochs 3 --seed 4 --width 0.5 --cores 1" in card
    assert "Resolution 0.2. `metrics.json`" in card
    assert "No noise. All" in card


def test_what_a_training_did_not_say_is_left_out():
    recipe = {"events": 1, "epochs": 1, "batch": 1, "learning_rate": 1, "seed": 1, "width": 1.0, "cores": 1}
    known = {"recipe": recipe, "versions": {}, "device": "cpu", "parameters": 1}
    card = modelcard.markdown(zoo.network("deepmet"), known)
    assert "## Limits\n\nAll it has seen" in card
    assert "It took" not in card
