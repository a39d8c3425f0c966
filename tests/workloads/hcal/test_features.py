from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.hcal.features import WIDTHS, energies, inputs
from sonic.workloads.hcal.geometry import Channels, channels

if TYPE_CHECKING:
    from sonic.workloads.hcal.simulation import Conditions, Event

ONE = Channels(np.array([-17]), np.array([33]), np.array([3]))
CHARGES = np.arange(8.0)[None] * 100


@pytest.mark.parametrize(("version", "ones"), [("v2", {13, 34}), ("v5", {12, 33}), ("fpga", {13})])
def test_a_row_is_place_gain_and_charges(version: str, ones: set[int]) -> None:
    (row,) = inputs(CHARGES, ONE, np.array([2.5e-4]), version)
    assert row.dtype == np.float32
    assert row.shape == (WIDTHS[version],)
    assert row[0] == 33
    assert row[1] == np.float32(0.25)
    assert (row[2:10] == CHARGES[0]).all()
    if version == "fpga":
        assert row[10] == 17
    assert set(np.flatnonzero(row[11 if version == "fpga" else 10 :]) + (11 if version == "fpga" else 10)) == ones


def test_every_place_of_the_detector_has_a_row_of_its_own(hcal_event: Event, hcal_known: Conditions) -> None:
    where = channels()
    same = np.zeros((len(where), 8)), np.full(len(where), 1e-4)
    for version in WIDTHS:
        rows = inputs(same[0], where, same[1], version)
        kinds = np.unique(np.stack([np.abs(where.ieta), where.iphi, where.depth]), axis=1).shape[1]
        assert len(np.unique(rows, axis=0)) == kinds
    rows = inputs(hcal_event.charge_fc, where, hcal_known.gain_gev)
    assert np.isfinite(rows).all()
    assert (rows[:, 10:].sum(axis=1) == 2).all()


def test_what_is_no_number_is_nothing() -> None:
    charges = CHARGES.copy()
    charges[0, :2] = np.nan, np.inf
    assert (inputs(charges, ONE, np.array([1e-4]))[0, 2:4] == 0).all()


def test_wrong_shapes_and_versions_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'v9'.*v2, v5, fpga"):
        inputs(CHARGES, ONE, np.array([1e-4]), "v9")
    with pytest.raises(InvalidRequest, match=r"expected charges \[1, 8\] and gains \[1\], given \[1, 7\] and \[1\]"):
        inputs(CHARGES[:, :7], ONE, np.array([1e-4]))


def test_no_energy_is_negative() -> None:
    found = energies(np.array([[-0.5], [2.5]], np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [0, 2.5]
    with pytest.raises(InvalidRequest, match=r"\[channels, 1\], given \[2\]"):
        energies(np.zeros(2))
