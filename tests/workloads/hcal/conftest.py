from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hcal.simulation import Beam, conditions, event

if TYPE_CHECKING:
    from sonic.workloads.hcal.simulation import Conditions, Event


@pytest.fixture(scope="session")
def hcal_known() -> Conditions:
    return conditions(1)


@pytest.fixture(scope="session")
def hcal_event(hcal_known: Conditions) -> Event:
    return event(Beam(jets=8), hcal_known, np.random.default_rng(2))
