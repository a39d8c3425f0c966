"""Electrons for the tests of the calorimeter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.workloads.ecal.simulation import electrons

if TYPE_CHECKING:
    from sonic.workloads.ecal.simulation import Electrons


@pytest.fixture(scope="session")
def made() -> Electrons:
    """Two hundred electrons."""
    return electrons(200, seed=11)
