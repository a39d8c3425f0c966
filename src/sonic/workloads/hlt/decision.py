"""What is accepted: a menu of trigger paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.framework import Filter, Producer
from sonic.workloads.miniaod.modules import b_cut

if TYPE_CHECKING:
    from sonic.framework.module import Columns

PATHS = ("jet", "ht", "met", "bjets")


@dataclass(frozen=True)
class Menu:
    """Thresholds; an event is accepted by any path.

    Parameters
    ----------
    jet_gev : float
        Of the hardest jet.
    ht_gev : float
        Of the sum of the jets' momenta.
    met_gev : float
        Of missing momentum.
    bjets_gev : float
        Of the momentum of jets that count as b jets.
    bjets : int
        How many of them.
    b_cut : float or None
        Of ``Jet_sonicB``; None: what one in a hundred light jets passes, as the tagger's metrics say.

    Raises
    ------
    ConfigError
        If a threshold is negative.
    """

    jet_gev: float = 180.0
    ht_gev: float = 400.0
    met_gev: float = 90.0
    bjets_gev: float = 30.0
    bjets: int = 2
    b_cut: float | None = None

    def __post_init__(self) -> None:
        if min(self.jet_gev, self.ht_gev, self.met_gev, self.bjets_gev, self.bjets) < 0:
            raise ConfigError(f"thresholds are 0 or more, given {self}")


class Decision(Producer):
    """Which paths accept an event.

    Parameters
    ----------
    menu : Menu
    """

    name = "decision"
    consumes = ("Jet_pt", "Jet_taggable", "Jet_sonicB", "CaloMET_pt", "Event_ht")
    produces = (*(f"HLT_{path}" for path in PATHS), "HLT_any")

    def __init__(self, menu: Menu | None = None) -> None:
        self.menu = menu or Menu()

    def produce(self, events: ak.Array) -> Columns:
        """Compare with the thresholds."""
        menu = self.menu
        cut = b_cut() if menu.b_cut is None else menu.b_cut
        tagged = events.Jet_taggable & (events.Jet_sonicB > cut) & (events.Jet_pt >= menu.bjets_gev)
        found = {
            "jet": ak.any(events.Jet_pt >= menu.jet_gev, axis=1),
            "ht": events.Event_ht >= menu.ht_gev,
            "met": events.CaloMET_pt >= menu.met_gev,
            "bjets": ak.sum(tagged, axis=1) >= menu.bjets,
        }
        decisions = {f"HLT_{path}": np.asarray(found[path], bool) for path in PATHS}
        return decisions | {"HLT_any": np.any(list(decisions.values()), axis=0)}


class Accept(Filter):
    """Events that a path accepts."""

    name = "accept"
    consumes = ("HLT_any",)

    def select(self, events: ak.Array) -> ak.Array:
        """Do as decided."""
        return events.HLT_any
