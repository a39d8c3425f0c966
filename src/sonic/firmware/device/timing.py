"""How long an FPGA card takes for blocks of rows. Pure: time is passed in.

A block goes over PCIe to the card, through one of its compute units, and back. The link to the card, the units, and the
link back each work on another block meanwhile; a unit has several buffers, so that the next block is brought while it
computes. Nothing here is measured on the card that it stands for: it is a model, and what comes of it is to be called
so wherever it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, isfinite
from typing import NamedTuple

from sonic.errors import ConfigError

WORD_BYTES = 64
"""Of the card's memory interface, 512 bits: FaaST's kernel_params.h."""


class Stage(NamedTuple):
    """One resource that every block needs, in the order in which it needs them.

    Attributes
    ----------
    name : str
    servers : int
        Blocks that it works on at once.
    busy_s : float
        How long a block keeps one of them.
    after_s : float
        What passes then before the block goes on, during which it keeps none.
    """

    name: str
    servers: int
    busy_s: float
    after_s: float


@dataclass(frozen=True, slots=True)
class CardModel:
    """A card, with the time of all its parts. The defaults are FaaST's card with FACILE (arXiv:2010.08556).

    Where a default is from: *code*, the sources of FaaST's firmware (github.com/fastmachinelearning/FaaST, hls4ml_c);
    *fit*, such that the model has the rates that were measured with that firmware on an Alveo U55C
    (github.com/fastmachinelearning/nrp_u55c_benchmark, scan_u55c_hbm.dat); or an *assumption*.

    Parameters
    ----------
    block : int
        Rows that a unit takes at once, no more and no fewer: what is missing is padded. Code: STREAMSIZE 16,384.
    units : int
        Compute units. Code: four, one in each region of the chip, with a bank of memory each.
    buffers : int
        Of a unit, each for one block on its way in, through, or out. Two, the fewest with which a unit can compute
        while it is fed; FaaST's own test has eight.
    pcie_gbps : float
        Bandwidth of each direction, Gbit/s. Assumption: 96 of the 126 of 16 lanes of generation 3.
    pcie_latency_us : float
        From the end of a transfer until what follows can begin, with host and driver. Fit: 0.98 ms for a block of a
        unit with one buffer.
    clock_mhz : float
        Of the units. Assumption: 300, which Vitis aims at for these cards.
    interval : float
        Cycles from a row to the next, with the reading and writing of the card's memory. Fit with `latency_cycles`:
        0.34 ms for a block of a unit. (FACILE itself takes a row with each cycle: reuse 1.)
    latency_cycles : float
        Beside those of the rows: to fill the pipeline, and to start a unit.
    row_bytes_in, row_bytes_out : int
        Of a row on the link. Code: each row of inputs begins a word of 512 bits; results are packed, 16 bits each.

    Raises
    ------
    ConfigError
        If one is not finite, or not above zero; latencies may be zero.
    """

    block: int = 16_384
    units: int = 4
    buffers: int = 2
    pcie_gbps: float = 96.0
    pcie_latency_us: float = 275.0
    clock_mhz: float = 300.0
    interval: float = 6.0
    latency_cycles: float = 4000.0
    row_bytes_in: int = 64
    row_bytes_out: int = 2

    def __post_init__(self) -> None:
        for each in fields(self):
            value, may_be_zero = getattr(self, each.name), "latency" in each.name
            if not (isfinite(value) and (value >= 0 if may_be_zero else value > 0)):
                bound = "finite, and " + ("at least zero" if may_be_zero else "above zero")
                raise ConfigError(f"a card's {each.name} is {bound}, given {value!r}")

    @property
    def stages(self) -> tuple[Stage, Stage, Stage]:
        """What a block needs one after the other: link to the card, a unit, link back."""
        cycles = self.latency_cycles + self.block * self.interval
        latency_s = self.pcie_latency_us / 1e6
        return (
            Stage("to_card", 1, self._transfer_s(self.row_bytes_in), latency_s),
            Stage("unit", self.units, cycles / (self.clock_mhz * 1e6), 0.0),
            Stage("from_card", 1, self._transfer_s(self.row_bytes_out), latency_s),
        )

    @property
    def slots(self) -> int:
        """Blocks that can be under way at once."""
        return self.units * self.buffers

    @property
    def block_s(self) -> float:
        """How long a block takes that meets no other."""
        return sum(stage.busy_s + stage.after_s for stage in self.stages)

    @property
    def bounds(self) -> dict[str, float]:
        """Blocks/s that each resource allows, by its name, ``buffers`` among them; the least of them is the card's."""
        rates = {stage.name: stage.servers / stage.busy_s for stage in self.stages}
        return rates | {"buffers": self.slots / self.block_s}

    @property
    def sustained_s(self) -> float:
        """How long a block keeps its buffer under full load: `block_s`, or more if something else is narrower.

        For models of queues, as so many equal servers as there are `slots`.
        """
        return self.slots / min(self.bounds.values())

    def service_time_s(self, rows: int) -> float:
        """How long rows take that an idle card is given at once: all of their blocks, the last one padded."""
        timeline = Timeline(self)
        done_s = 0.0
        for _ in range(ceil(rows / self.block)):
            done_s = timeline.enqueue(0.0).done_s
        return done_s

    def _transfer_s(self, row_bytes: int) -> float:
        words = ceil(self.block * row_bytes / WORD_BYTES)
        return words * WORD_BYTES * 8 / (self.pcie_gbps * 1e9)


class Passage(NamedTuple):
    """When a block was where, in seconds on the clock of its arrival.

    Attributes
    ----------
    unit : int
    arrived_s : float
        When it was given to the card.
    sent_s, on_card_s : float
        When its transfer began, and when the unit could have begun.
    begun_s, computed_s : float
        When the unit did, and when it had ended.
    returned_s, done_s : float
        When the transfer back began, and when the host has it.
    """

    unit: int
    arrived_s: float
    sent_s: float
    on_card_s: float
    begun_s: float
    computed_s: float
    returned_s: float
    done_s: float


class Timeline:
    """When a card is done with the blocks that it is given. Not thread-safe.

    Blocks are alike, and so leave every resource in the order in which they came. The unit and the buffer that are free
    first are therefore those of so many blocks before.

    Parameters
    ----------
    model : CardModel
    """

    def __init__(self, model: CardModel) -> None:
        self.model = model
        self._stages = model.stages
        self._count = 0
        self._last_s = 0.0
        self._link_in_s = self._link_out_s = 0.0
        self._unit_s = [0.0] * model.units
        self._buffer_s = [0.0] * model.slots

    def enqueue(self, now_s: float) -> Passage:
        """Give it a block.

        Parameters
        ----------
        now_s : float
            On any clock that begins at zero or later. One before that of the block before counts as that.

        Returns
        -------
        Passage
            Final: what comes later does not change it.
        """
        to_card, compute, from_card = self._stages
        arrived_s = self._last_s = max(now_s, self._last_s)
        unit, buffer = self._count % self.model.units, self._count % self.model.slots
        sent_s = max(arrived_s, self._link_in_s, self._buffer_s[buffer])
        self._link_in_s = sent_s + to_card.busy_s
        on_card_s = self._link_in_s + to_card.after_s
        begun_s = max(on_card_s, self._unit_s[unit])
        computed_s = self._unit_s[unit] = begun_s + compute.busy_s
        returned_s = max(computed_s, self._link_out_s)
        self._link_out_s = returned_s + from_card.busy_s
        done_s = self._buffer_s[buffer] = self._link_out_s + from_card.after_s
        self._count += 1
        return Passage(unit, arrived_s, sent_s, on_card_s, begun_s, computed_s, returned_s, done_s)
