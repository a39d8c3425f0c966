from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from sonic.workloads.hcal.simulation import conditions
from sonic.workloads.networks import facile
from sonic.workloads.networks.facile import Facile
from sonic.workloads.training.facile import DEFAULTS, FPGA, PILEUP, evaluate, figure, loss, predict, sample

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(DEFAULTS, events=2, epochs=2, batch=512, device="cpu", cores=1)


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Facile, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("facile")
    return folder, *FPGA.train(TINY, folder, quiet)


def test_training_learns_and_says_what_it_reached(trained: tuple[Path, Facile, dict[str, Any]]) -> None:
    _, network, metrics = trained
    assert not network.training
    assert metrics["losses"][1] < metrics["losses"][0]
    assert metrics["test_events"] == len(PILEUP)
    assert metrics["figure"] == figure(metrics)
    assert list(metrics["pileup"]) == ["0", "25", "50", "75", "100"]
    bins = len(metrics["edges_gev"]) - 1
    for row in metrics["pileup"].values():
        assert list(row) == ["facile", "fit", "sum"]
        assert all(len(each["bias"]) == len(each["resolution"]) == bins for each in row.values())
    busy = metrics["pileup"]["100"]
    assert busy["fit"]["resolution"][0] < 0.7 * busy["sum"]["resolution"][0]


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(
    trained: tuple[Path, Facile, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, network, metrics = trained
    monkeypatch.setattr("sonic.workloads.training.facile.evaluate", lambda *_: {"pileup": {}})
    again, known = FPGA.train(TINY, folder, quiet)
    assert known["losses"] == metrics["losses"]
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_normalisations_have_the_statistics_of_the_sample(trained: tuple[Path, Facile, dict[str, Any]]) -> None:
    _, network, _ = trained
    rows, _ = sample(TINY, conditions(1), quiet, "fpga")
    norms = [layer for layer in network.layers if isinstance(layer, nn.BatchNorm1d)]
    assert len(norms) == 3
    assert norms[0].running_mean is not None
    assert norms[0].running_mean.numpy() == pytest.approx(rows.mean(axis=0), rel=1e-3)


def test_large_energies_are_not_rare_in_what_is_trained_on() -> None:
    known = conditions(1)
    rows, true = sample(replace(TINY, events=1), known, quiet, "v5")
    assert rows.dtype == true.dtype == np.float32
    assert rows.shape == (len(true), 46)
    assert 500 < len(true) < 5000
    assert (true > 8).sum() > 0.02 * len(true)
    again = sample(replace(TINY, events=1), known, quiet, "v5")
    assert np.array_equal(rows, again[0])


def test_the_loss_asks_for_what_can_be_known() -> None:
    true = torch.tensor([0.0, 100.0])
    assert loss(true, true) == 0
    assert loss(true + torch.tensor([0.5, 0.0]), true) > loss(true + torch.tensor([0.0, 0.5]), true)


def test_no_energy_is_negative() -> None:
    network = Facile(facile.V5).eval()
    rows = np.random.default_rng(1).normal(size=(100, 46)).astype(np.float32)
    with torch.no_grad():
        network.layers[-1].bias -= network(torch.from_numpy(rows)).median()
        raw = network(torch.from_numpy(rows))[:, 0].numpy()
    assert raw.min() < 0 < raw.max()
    assert predict(network, rows) == pytest.approx(np.maximum(raw, 0))


def test_figures_are_of_other_events_than_training() -> None:
    seen = []

    class Nothing(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append(x)
            return torch.zeros(len(x), 1)

    found = evaluate(Nothing(), 1, 1, conditions(1), quiet, "v5")
    assert found["pileup"]["0"]["facile"]["bias"][0] == -1
    trained_on = sample(replace(TINY, events=1), conditions(1), quiet, "v5")[0]
    assert len(seen) == 1
    assert not (seen[0][:, 2:10].numpy()[:, None] == trained_on[:5, 2:10]).all(axis=2).any()


def test_the_figure_is_of_what_there_is_with_pile_up() -> None:
    def row(facile: list[float | None], fit: list[float | None]) -> dict[str, Any]:
        return {"facile": {"resolution": facile}, "fit": {"resolution": fit}}

    found = {
        "pileup": {"0": row([9.0], [1.0]), "50": row([0.2, 0.11, None], [0.2, 0.1, None]), "100": row([0.9], [1.0])}
    }
    assert figure(found) == "resolution 1.00 of the pulse fit's (0.90 to 1.10)"
    assert figure({"pileup": {"0": row([1.0], [1.0])}}) == "resolution unknown: too few events with pile-up"
