"""The hard processes that training samples are made of."""

from __future__ import annotations

from dataclasses import dataclass

from sonic.errors import ConfigError

_Z_TO_NEUTRINOS = ("WeakZ0:gmZmode = 2", "23:onMode = off", "23:onIfAny = 12 14 16")
_W_TO_LEPTONS = ("24:onMode = off", "24:onIfAny = 11 13")


@dataclass(frozen=True, slots=True)
class Process:
    """A hard process in a range of transverse momentum.

    Parameters
    ----------
    name : str
    cards : tuple of str
        Pythia's settings.
    min_pt_gev, max_pt_gev : float or None
        Range of the hard process's transverse momentum (Pythia's pTHat); None for open.
    tagger_share, met_share, wide_share : float
        Relative number of events in the tagger's sample, in the missing-momentum one and in that of wide jets.
    """

    name: str
    cards: tuple[str, ...]
    min_pt_gev: float | None = None
    max_pt_gev: float | None = None
    tagger_share: float = 0.0
    met_share: float = 0.0
    wide_share: float = 0.0

    def settings(self, seed: int) -> tuple[str, ...]:
        """Return the lines for Pythia, the random seed among them."""
        window = []
        if self.min_pt_gev is not None:
            window.append(f"PhaseSpace:pTHatMin = {self.min_pt_gev}")
        if self.max_pt_gev is not None:
            window.append(f"PhaseSpace:pTHatMax = {self.max_pt_gev}")
        return (*self.cards, *window, *collisions(seed))


def collisions(seed: int) -> tuple[str, ...]:
    """Return the settings common to everything: 13 TeV proton collisions and the seed (1 to 900,000,000)."""
    return (
        "Print:quiet = on",
        "Beams:eCM = 13000.",
        "Random:setSeed = on",
        f"Random:seed = {1 + seed % 900_000_000}",
    )


PILE_UP = ("SoftQCD:nonDiffractive = on",)

_QCD = ("HardQCD:all = on",)
_BB = ("HardQCD:hardbbbar = on",)
_CC = ("HardQCD:hardccbar = on",)
_ZJET = ("WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on", *_Z_TO_NEUTRINOS)
_VH = ("HiggsSM:ffbar2HZ = on", "HiggsSM:ffbar2HW = on", "25:onMode = off", "23:onMode = off", "24:onMode = off")
_V_TO_QUARKS = ("23:onIfAny = 1 2 3 4 5", "24:onIfAny = 1 2 3 4 5")
_WJET = ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on", *_W_TO_LEPTONS)

# Bins of the hard process make jets of every momentum up to the highest in real files equally well represented.
PROCESSES: tuple[Process, ...] = (
    Process("tt", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"), tagger_share=4, met_share=4),
    Process("tt_high", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"), 300, None, 1, 1, 6),
    Process("qcd_30", _QCD, 30, 80, 3, 1),
    Process("qcd_80", _QCD, 80, 170, 2.5, 1),
    Process("qcd_170", _QCD, 170, 400, 2.5, 1, 2),
    Process("qcd_400", _QCD, 400, 800, 1.5, 1, 3),
    Process("qcd_800", _QCD, 800, 1400, 1.5, 1, 2),
    Process("qcd_1400", _QCD, 1400, None, 1.5, 1.5),
    Process("bb_30", _BB, 30, 120, 1.5, 0),
    Process("bb_120", _BB, 120, 500, 1, 0),
    Process("bb_500", _BB, 500, None, 1, 0, 0.5),
    Process("cc_30", _CC, 30, 120, 2.5, 0),
    Process("cc_120", _CC, 120, 500, 1.5, 0),
    Process("cc_500", _CC, 500, None, 1, 0, 0.5),
    Process("znunu_20", _ZJET, 20, 100, 0, 2.5),
    Process("znunu_100", _ZJET, 100, 300, 0, 3),
    Process("znunu_300", _ZJET, 300, None, 0, 2),
    Process("wlnu_20", _WJET, 20, 100, 0, 1.5),
    Process("wlnu_100", _WJET, 100, None, 0, 1.5),
    # New ones go to the end: a process's number is in the seed of its events.
    Process("vh_bb", (*_VH, *_V_TO_QUARKS, "25:onIfMatch = 5 -5"), 250, None, wide_share=2),
    Process("vh_cc", (*_VH, *_V_TO_QUARKS, "25:onIfMatch = 4 -4"), 250, None, wide_share=1.5),
    Process("vh_ww", (*_VH, *_V_TO_QUARKS, "25:onIfMatch = 24 -24"), 250, None, wide_share=1.5),
    Process("tt_400", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"), 400, 800),
)


def find(name: str) -> Process:
    """Return the process of that name.

    Raises
    ------
    ConfigError
        If there is none; lists those there are.
    """
    for process in PROCESSES:
        if process.name == name:
            return process
    raise ConfigError(f"no process {name!r}: there are {', '.join(p.name for p in PROCESSES)}")
