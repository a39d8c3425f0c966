"""A small chamber and a few of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.workloads.lartpc.chamber import Chamber
from sonic.workloads.lartpc.particles import Beam
from sonic.workloads.lartpc.simulation import events

if TYPE_CHECKING:
    from sonic.workloads.lartpc.simulation import Event

SMALL = Chamber(drift_mm=600.0, height_mm=700.0, width_mm=500.0)


@pytest.fixture(scope="session")
def chamber() -> Chamber:
    """A box of 0.2 cubic metres."""
    return SMALL


@pytest.fixture(scope="session")
def simulated() -> list[Event]:
    """Ten events in it, with Michel electrons and showers."""
    return events(10, Beam(through=0.5, stopping=1, pions=0.3, protons=0.3, showers=0.7), seed=4, chamber=SMALL)
