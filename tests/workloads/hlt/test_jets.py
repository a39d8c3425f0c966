from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hlt.jets import RESPONSE, CaloTowers, JetFilter, Jets, MissingMomentum, density, towers_of

WHERE = channels()
EMPTY: list[float] = []


def events(digis: list[dict[int, float]], cells: list[list[tuple[int, int, float]]]) -> ak.Array:
    """Energies by channel, and cells by ieta and iphi, of each event."""
    columns = {
        "Digi_channel": [list(row) for row in digis],
        "Digi_energy": [list(row.values()) for row in digis],
        "Cell_ieta": [[cell[0] for cell in row] for row in cells],
        "Cell_iphi": [[cell[1] for cell in row] for row in cells],
        "Cell_energy": [[cell[2] for cell in row] for row in cells],
    }
    return ak.Array({name: ak.values_astype(ak.Array(column), np.float64) for name, column in columns.items()})


def with_towers(made: ak.Array) -> ak.Array:
    return ak.Array({"Tower_energy": CaloTowers().produce(made)["Tower_energy"]})


def test_towers_have_channels_and_cells() -> None:
    channel = int(np.flatnonzero((WHERE.ieta == -4) & (WHERE.iphi == 10))[0])
    made = events([{channel: 3.0, channel + 1: 0.2}, {}], [[(-4, 10, 2.0), (7, 1, 1.0)], []])
    found = towers_of(with_towers(made))
    assert found.energy_gev.sum(axis=1).tolist() == pytest.approx([6.0, 0.0])
    tower = np.argmax(found.energy_gev[0])
    assert (found.ieta[tower], found.iphi[tower]) == (-4, 10)
    assert found.energy_gev[0, tower] == pytest.approx(5.0)


def test_what_is_nowhere_or_no_number_counts_for_nothing() -> None:
    cells = [(0, 1, 5.0), (30, 1, 5.0), (5, 73, 5.0), (25, 2, 5.0), (5, 5, np.nan), (5, 6, np.inf)]
    made = events([{-1: 5.0, 15_840: 5.0, 7: np.nan}], [cells])
    assert with_towers(made).Tower_energy.to_numpy().sum() == 0


def test_a_jet_is_where_its_energy_is() -> None:
    pytest.importorskip("fastjet")
    cells = [(3, 20, 60.0), (3, 21, 20.0), (-26, 41, 400.0)]
    found = Jets().produce(with_towers(events([{}, {}], [cells, []])))
    assert ak.num(found["Jet_pt"]).tolist() == [2, 0]
    assert found["Jet_pt"][0][0] == pytest.approx(80 / np.cosh(0.2175) / RESPONSE, rel=0.01)
    assert found["Jet_eta"][0].tolist() == pytest.approx([0.2175, -2.411], abs=0.01)
    assert found["Jet_taggable"][0].tolist() == [True, False]  # the other is outside the tracker
    assert found["Event_rho"].tolist() == [0, 0]
    assert found["Event_ht"][1] == 0


def test_only_the_hardest_central_jets_are_tagged() -> None:
    pytest.importorskip("fastjet")
    cells = [(3, 1 + 12 * i, 60.0 + i) for i in range(6)] + [(12, 7, 35.0)]
    found = Jets().produce(with_towers(events([{}], [cells])))
    assert found["Jet_taggable"][0].tolist() == [True] * 4 + [False] * 3
    assert (np.diff(found["Jet_pt"][0].to_numpy()) <= 0).all()


def test_missing_momentum_balances_the_towers() -> None:
    found = MissingMomentum().produce(with_towers(events([{}, {}], [[(3, 20, 60.0)], []])))
    tower = towers_of(with_towers(events([{}], [[(3, 20, 60.0)]])))
    at = np.argmax(tower.energy_gev[0])
    assert found["CaloMET_pt"][0] == pytest.approx(tower.et_gev[0, at], rel=1e-6)
    assert abs(np.angle(np.exp(1j * (found["CaloMET_phi"][0] - tower.phi[at])))) == pytest.approx(np.pi, abs=1e-6)
    assert found["CaloMET_pt"][1] == 0


def test_the_density_is_what_lies_everywhere() -> None:
    made = towers_of(ak.Array({"Tower_energy": np.zeros((2, len(towers_of(ak.Array({"Tower_energy": [[0.0]]})))))}))
    area = np.zeros(len(made))
    for tower in range(len(made)):
        first = np.flatnonzero((WHERE.ieta == made.ieta[tower]) & (WHERE.iphi == made.iphi[tower]))[0]
        area[tower] = WHERE.area[first]
    energy = np.stack([2.0 * area * np.cosh(made.eta), np.zeros(len(made))])
    energy[0, 100] += 500.0  # a jet does not move the median
    found = density(towers_of(ak.Array({"Tower_energy": energy})))
    assert found == pytest.approx([2.0, 0.0], rel=0.15)


def test_events_without_a_hard_jet_end_here() -> None:
    made = ak.Array({"Jet_pt": ak.values_astype(ak.Array([[50.0, 10.0], [39.0], EMPTY]), np.float32)})
    assert JetFilter().select(made).tolist() == [True, False, False]
    assert JetFilter(10.0).select(made).tolist() == [True, True, False]
