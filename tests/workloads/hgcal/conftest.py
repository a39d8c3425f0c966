from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.workloads.hgcal.simulation import Beam, events

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


@pytest.fixture(scope="session")
def showers() -> list[Event]:
    """Twenty events as they come by default."""
    return events(20, seed=101)


@pytest.fixture(scope="session")
def lone_photons() -> list[Event]:
    """Forty photons of 20 GeV, without noise."""
    alone = Beam(1, 1, min_energy_gev=20, max_energy_gev=20, shares=(1, 0, 0, 0), noise_hits=0)
    return events(40, alone, seed=102)
